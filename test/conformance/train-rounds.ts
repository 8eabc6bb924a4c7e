import { type ModelState, modelSha256, type Study } from '@meshfl/core'
import { type Engine, type Grid, initializeModel } from '@meshfl/engine'
import { createTinyDataset } from '@meshfl/testkit'
import { LocalTrainer } from '@meshfl/training'

/** Trains on four volumes that a seed makes: the loss of every round, and the hash of the last model. */
export async function trainRounds(
  engine: Engine,
  { model: spec, recipe, seed, classNames, rounds }: Study,
  grid: Grid,
  threads: number,
): Promise<{ losses: number[]; hash: string }> {
  const tiny = createTinyDataset({ seed: 3, train: 4, valid: 0, grid })
  const session = await engine.createSession(spec, tiny.grid, { threads })
  const trainer = new LocalTrainer({ session, spec, recipe, seed, site: 'site-1', classNames, ...tiny })
  const { signal } = new AbortController()
  let model: ModelState = initializeModel(spec, seed)
  let state: Uint8Array | null = null
  const losses = []
  for (let round = 1; round <= rounds; round++) {
    const outcome = await trainer.train({ round, rounds, model, state, signal, onStep: () => undefined })
    model = outcome.model
    state = outcome.state
    losses.push(outcome.metrics.loss)
  }
  session.dispose()
  return { losses, hash: modelSha256(model) }
}
