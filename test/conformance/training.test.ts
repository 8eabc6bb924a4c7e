import { type ModelState, modelSha256, StudySchema } from '@meshfl/core'
import { type Engine, initializeModel } from '@meshfl/engine'
import { createTinyDataset } from '@meshfl/testkit'
import { LocalTrainer } from '@meshfl/training'
import { expect, test } from 'vitest'
import { openEveryEngine, testMissing } from './engines.js'

const study = StudySchema.parse({ rounds: 5, model: { dilations: [1, 2, 4], dropout: 0.1 } })
const { signal } = new AbortController()

/** The loss of every round, and the hash of the last model. */
async function train(engine: Engine, threads: number): Promise<{ losses: number[]; hash: string }> {
  const { model: spec, recipe, seed, classNames, rounds } = study
  const tiny = createTinyDataset({ seed: 3, train: 4, valid: 0, grid: { depth: 8, height: 9, width: 21 } })
  const session = await engine.createSession(spec, tiny.grid, { threads })
  const trainer = new LocalTrainer({ session, spec, recipe, seed, site: 'site-1', classNames, ...tiny })
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

const engines = await openEveryEngine()
const reference = engines.find(({ name }) => name === 'reference')

for (const candidate of engines) {
  const title = `training on the ${candidate.name} engine`
  if ('engine' in candidate) {
    const { engine } = candidate
    test(`${title} gives the same model every time, whatever the threads, and lowers the loss`, async () => {
      const runs = [await train(engine, 1), await train(engine, 2), await train(engine, 3)]
      expect(new Set(runs.map(({ hash }) => hash)).size).toBe(1)
      const [first] = runs
      expect(first!.losses.at(-1)).toBeLessThan(0.8 * first!.losses[0]!)
      if (candidate.name === 'reference' || !reference || !('engine' in reference)) return
      const truth = await train(reference.engine, 1)
      // 20 steps of Adam amplify roundings; the losses still agree to a thousandth.
      for (const [round, loss] of truth.losses.entries())
        expect(Math.abs(first!.losses[round]! - loss)).toBeLessThan(1e-3)
    })
  } else testMissing(title, candidate)
}
