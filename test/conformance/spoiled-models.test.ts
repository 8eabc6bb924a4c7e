import { type ModelState, StudySchema } from '@meshfl/core'
import { initializeModel, modelLayout, openEngine } from '@meshfl/engine'
import { createTinyDataset } from '@meshfl/testkit'
import { LocalTrainer } from '@meshfl/training'
import { afterAll, expect, test } from 'vitest'
import { aggregate } from '../../packages/federation/src/aggregate.js'
import {
  LARGEST_MEAN,
  LARGEST_PARAMETER,
  LARGEST_VARIANCE,
  outOfBounds,
} from '../../packages/federation/src/update-bounds.js'

const study = StudySchema.parse({})
const layout = modelLayout(study.model)
const honest = initializeModel(study.model, 7)
const tiny = createTinyDataset({ seed: 1, train: 3, valid: 2 })
const session = await (await openEngine({ device: 'wasm' })).createSession(study.model, tiny.grid)
afterAll(() => session.dispose())

const { signal } = new AbortController()
const sign = (i: number): number => (i % 3 === 1 ? -1 : 1)
const isVariance = layout.statistics.flatMap(({ name, shape }) =>
  Array<boolean>(shape[0]!).fill(name.endsWith('running_var')),
)

function trainer(): LocalTrainer {
  const { recipe, classNames, model: spec } = study
  return new LocalTrainer({ ...tiny, session, spec, recipe, classNames, seed: 7, site: 'site-1' })
}

/** The largest updates that are taken, in signs that add up and in signs that do not. */
const HOSTILE: Record<string, ModelState> = {
  'parameters of both signs': {
    parameters: honest.parameters.map((_, i) => sign(i) * LARGEST_PARAMETER),
    statistics: honest.statistics,
  },
  'all that is allowed': {
    parameters: honest.parameters.map(() => LARGEST_PARAMETER),
    statistics: honest.statistics.map((_, i) => (isVariance[i] ? LARGEST_VARIANCE : sign(i) * LARGEST_MEAN)),
  },
}

test.each(Object.keys(HOSTILE).flatMap((name) => [10, 50, 98].map((samples) => [name, samples] as const)))(
  'from a model with %s, at a weight of %i in a hundred, a site trains on and may send what comes of it',
  async (name, samples) => {
    const hostile = HOSTILE[name]!
    expect(outOfBounds(layout, hostile, 'parameters')).toBeUndefined()
    const updates = [
      { site: 'a', model: honest, samples: 100 - samples },
      { site: 'b', model: hostile, samples },
    ]
    const model = aggregate(layout, updates, 'pooled')
    const task = { round: 2, rounds: 3, model, state: null, signal, onStep: () => undefined }
    const outcome = await trainer().train(task)
    expect(outOfBounds(layout, outcome.model, 'parameters')).toBeUndefined()
  },
)

test('a model of such an update may have no finite loss, which the trainer says', async () => {
  const model = HOSTILE['parameters of both signs']!
  await expect(trainer().evaluate({ round: 1, model, signal })).rejects.toMatchObject({ code: 'TRAINING_DIVERGED' })
})
