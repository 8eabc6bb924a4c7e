import { modelSha256 } from '@meshfl/core'
import { expect, test } from 'vitest'
import { encodeModelBody, frameDigest, keepModel } from './frame.js'
import { LAYOUT, randomModel } from './loopback.fixture.js'
import { UpdateSlabs } from './update-slabs.js'

test('updates are kept as they were, whatever becomes of those that they were copied from', () => {
  const slabs = new UpdateSlabs(LAYOUT, 3)
  const models = [1, 2, 3, 4, 5, 6, 7].map((seed) => keepModel(LAYOUT, randomModel('update', seed)))
  const kept = models.map(({ model }) => slabs.keep(model))
  for (const { model } of models) {
    model.parameters.fill(0)
    model.statistics.fill(0)
  }
  kept.forEach((model, i) => {
    expect(modelSha256(model)).toBe(models[i]!.sha256)
    expect(frameDigest(encodeModelBody(model)).toString('hex')).toBe(models[i]!.sha256)
  })
  expect(new Set(kept.map(({ parameters }) => parameters.buffer)).size).toBe(3)
})
