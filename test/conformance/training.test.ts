import { StudySchema } from '@meshfl/core'
import type { Engine } from '@meshfl/engine'
import { expect, test } from 'vitest'
import { openEveryEngine, testMissing } from './engines.js'
import { trainRounds } from './train-rounds.js'

const study = StudySchema.parse({ rounds: 5, model: { dilations: [1, 2, 4], dropout: 0.1 } })
const train = (engine: Engine, threads: number) =>
  trainRounds(engine, study, { depth: 8, height: 9, width: 21 }, threads)

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
