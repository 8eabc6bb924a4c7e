import { MeshNetSpecSchema } from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import { expect, test } from 'vitest'
import { updateRunningStatistics } from './running-statistics.js'

test('the mean enters with weight 0.1, the variance too, made unbiased', () => {
  const layout = modelLayout(MeshNetSpecSchema.parse({ channels: 1, dilations: [1] }))
  const statistics = new Float32Array([1, 2]) // running mean, running variance
  updateRunningStatistics(layout, statistics, new Float32Array([3, 4]), 5)
  expect(statistics[0]).toBeCloseTo(0.9 * 1 + 0.1 * 3, 6)
  expect(statistics[1]).toBeCloseTo(0.9 * 2 + 0.1 * 4 * (5 / 4), 6)
})
