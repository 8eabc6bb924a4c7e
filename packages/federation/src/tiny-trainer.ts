import { setTimeout as sleep } from 'node:timers/promises'
import type {
  EvaluateTask,
  GradientOutcome,
  GradientTask,
  SiteDescription,
  SiteTrainer,
  TrainOutcome,
  TrainTask,
} from '@meshfl/core'

export interface TinyTrainerOptions {
  /** How long each task takes; default: no time. */
  delayMs?: number
  /** Training volumes that an update counts; default: by the name. */
  samples?: number
}

const DICE = { perClass: { 'white matter': 0.5, 'grey matter': 0.5 }, foregroundDice: 0.5 }

/**
 * A trainer that takes no time, so that what remains is the federation. Its update depends on site, round, model, the rule's
 * vector and the optimiser's state of the round before, as a real one does, and is the same whenever it is asked for.
 */
export function createTinyTrainer(site: string, options: TinyTrainerOptions = {}): SiteTrainer {
  const { delayMs, samples = 3 + site.length } = options
  const wait = async (signal: AbortSignal): Promise<void> => {
    if (delayMs !== undefined) await sleep(delayMs, undefined, { signal })
  }
  return {
    async train({ round, model, state, rule, signal, onStep }: TrainTask): Promise<TrainOutcome> {
      onStep({ step: 1, steps: 1, loss: 1 / round, learningRate: 0.1, seconds: 0.001 })
      await wait(signal)
      const momentum = state === null ? 0 : new DataView(state.buffer, state.byteOffset).getFloat64(0)
      const after = new Uint8Array(8)
      new DataView(after.buffer).setFloat64(0, 0.5 * momentum + 1 / round)
      const noise = createNoise(`${site}/${round}`)
      // What a rule brings along moves the result too, so that a wrong vector shows in the hash.
      const vector = rule?.kind === 'scaffold' ? rule.control : rule?.kind === 'meshfl-reference' ? rule.gradient : null
      const answers = rule?.kind === 'scaffold' || rule?.kind === 'meshfl-reference'
      const pull = rule?.kind === 'proximal' ? 1 / (1 + rule.mu) : 1
      const next = (value: number): number => 0.9 * value + 0.1 * noise() + 0.001 * momentum
      // Loops, not `map`: it calls back too slowly for a trainer that should take no time.
      const parameters = new Float32Array(model.parameters.length)
      for (let i = 0; i < parameters.length; i++)
        parameters[i] = pull * next(model.parameters[i]!) - (vector === null ? 0 : vector[i]!)
      const statistics = new Float32Array(model.statistics.length)
      for (let i = 0; i < statistics.length; i++) statistics[i] = Math.max(0.01, next(model.statistics[i]!)) // as a variance
      return {
        model: { parameters, statistics },
        samples,
        state: after,
        ...(answers ? { vector: model.parameters.map(() => 0.1 * noise() + 0.001 * momentum) } : {}),
        metrics: { loss: 1 / round, dice: DICE, seconds: 0.001 },
      }
    },
    async gradient({ round, step, model, signal }: GradientTask): Promise<GradientOutcome> {
      await wait(signal)
      const noise = createNoise(`${site}/${round}/${step}`)
      return {
        gradients: model.parameters.map((value) => 0.1 * value + noise()),
        batchStatistics: model.statistics.map(() => 0.6 + 0.5 * noise()),
        voxels: 1000,
        samples: 1,
        metrics: { loss: 1 / (round + step), dice: DICE, seconds: 0.001 },
      }
    },
    async evaluate({ round, signal }: EvaluateTask) {
      await wait(signal)
      const foregroundDice = (createNoise(`dice/${site}/${round}`)() + 1) / 2
      const perClass = { 'white matter': foregroundDice, 'grey matter': foregroundDice }
      return { cases: 2, loss: 1 / round, dice: { perClass, foregroundDice } }
    },
  }
}

/** What a site with such a trainer says of itself. */
export function describeTinySite(site: string): SiteDescription {
  return {
    site,
    trainCases: 64,
    validCases: 2,
    classes: 3,
    classNames: ['background', 'white matter', 'grey matter'],
    labelMap: 'gw3',
    voxelSizeMm: 1,
    conform: { mode: 'freesurfer', shape: [256, 256, 256] },
    engine: 'none',
    instructionSet: 'none',
    precision: 'fp32',
  }
}

/** Numbers in [-1, 1) that a text decides: FNV-1a, then xorshift32 (Marsaglia 2003). */
function createNoise(text: string): () => number {
  let state = 0x811c9dc5
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193)
  state |= 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return state / 0x80000000
  }
}
