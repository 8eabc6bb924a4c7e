import { fedavg } from './fedavg.js'
import type { Strategy } from './strategy.js'

/**
 * Averages as fedavg does. What differs happens at the sites: each minimises its loss plus mu/2 |w - w_t|^2, the distance from the
 * global model that the round began with, so a gradient has mu (w - w_t) added to it. With mu 0 it is fedavg, bit for bit.
 * Li et al. (2020), Federated Optimization in Heterogeneous Networks, algorithm 2; they try mu of 0.001 to 1.
 */
export const fedprox: Strategy = fedavg
