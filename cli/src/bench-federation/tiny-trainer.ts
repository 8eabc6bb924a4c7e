import type { EvaluateTask, SiteDescription, SiteTrainer, TrainOutcome, TrainTask } from '@meshfl/core'

/**
 * A trainer that takes no time, so that what remains is the federation: its update depends on site, round, model and on the
 * optimiser's state of the round before, as a real one does, and is the same whenever it is asked for.
 */
export function createTinyTrainer(site: string, options: { delayMs?: number } = {}): SiteTrainer {
  const wait = async (signal: AbortSignal): Promise<void> => {
    if (options.delayMs === undefined) return
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, options.delayMs)
      signal.addEventListener('abort', () => {
        clearTimeout(timer)
        reject(signal.reason)
      })
    })
  }
  return {
    async train({ round, model, state, signal, onStep }: TrainTask): Promise<TrainOutcome> {
      onStep({ step: 1, steps: 1, loss: 1 / round, learningRate: 0.1, seconds: 0.001 })
      await wait(signal)
      const momentum = state === null ? 0 : new DataView(state.buffer, state.byteOffset).getFloat64(0)
      const noise = createNoise(`${site}/${round}`)
      const after = new Uint8Array(8)
      new DataView(after.buffer).setFloat64(0, 0.5 * momentum + 1 / round)
      const next = (values: Float32Array, least: number): Float32Array =>
        values.map((value) => Math.max(least, 0.9 * value + 0.1 * noise() + 0.001 * momentum))
      return {
        model: {
          parameters: next(model.parameters, Number.NEGATIVE_INFINITY),
          statistics: next(model.statistics, 0.01), // a variance is not negative
        },
        samples: 3 + site.length,
        state: after,
        metrics: { loss: 1 / round, dice: { perClass: {}, foregroundDice: 0.5 }, seconds: 0.001 },
      }
    },
    async evaluate({ round, signal }: EvaluateTask) {
      await wait(signal)
      const foregroundDice = (createNoise(`dice/${site}/${round}`)() + 1) / 2
      return { cases: 2, loss: 1 / round, dice: { perClass: {}, foregroundDice } }
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
