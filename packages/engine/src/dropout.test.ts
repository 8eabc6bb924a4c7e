import { MeshNetSpecSchema } from '@meshfl/core'
import { expect, test } from 'vitest'
import { dropoutFactors } from './dropout.js'

test('dropout keeps the expected value and drops about its share, the same for the same seed', () => {
  const spec = MeshNetSpecSchema.parse({ channels: 50, dropout: 0.25 })
  const factors = dropoutFactors(spec, 20, 7)
  expect(factors).toEqual(dropoutFactors(spec, 20, 7))
  expect(factors).not.toEqual(dropoutFactors(spec, 20, 8))
  const dropped = factors.filter((factor) => factor === 0).length / factors.length
  expect(dropped).toBeGreaterThan(0.23) // 9,000 draws: 4 standard deviations
  expect(dropped).toBeLessThan(0.27)
  expect(new Set(factors)).toEqual(new Set([0, Math.fround(4 / 3)]))
})

test('without dropout every factor is 1', () => {
  expect(new Set(dropoutFactors(MeshNetSpecSchema.parse({}), 2, 1))).toEqual(new Set([1]))
})
