import { createRandom } from '@meshfl/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { drawDirichlet } from './dirichlet.js'

test('shares are none of them negative and sum to 1, also of the smallest concentrations', () => {
  const concentrations = fc.array(fc.double({ min: 1e-9, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 9 })
  fc.assert(
    fc.property(concentrations, fc.nat(), (list, seed) => {
      const shares = drawDirichlet(createRandom(seed), list)
      expect(shares).toHaveLength(list.length)
      expect(Math.min(...shares)).toBeGreaterThanOrEqual(0)
      expect(shares.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12)
    }),
  )
})

test.each([[[0.3, 0.9]], [[2, 5, 3]], [[0.5, 0.5, 40]]])('draws of %j have the mean and variance of theirs', (list) => {
  const random = createRandom(4, 'moments')
  const draws = Array.from({ length: 20_000 }, () => drawDirichlet(random, list))
  const sum = list.reduce((a, b) => a + b, 0)
  for (const [index, concentration] of list.entries()) {
    const mean = draws.reduce((total, draw) => total + draw[index]!, 0) / draws.length
    const variance = draws.reduce((total, draw) => total + (draw[index]! - mean) ** 2, 0) / draws.length
    // a / A and a (A - a) / (A^2 (A + 1)), of A the sum; four standard errors of the mean.
    const expected = (concentration * (sum - concentration)) / (sum ** 2 * (sum + 1))
    expect(Math.abs(mean - concentration / sum)).toBeLessThan(4 * Math.sqrt(expected / draws.length))
    expect(Math.abs(variance / expected - 1)).toBeLessThan(0.1)
  }
})
