import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { holm, signFlipTest } from './paired-test.js'

describe('a permutation test on pairs', () => {
  test('finds what Fisher found in Darwin’s maize: 863 of 32,768 sums are as large', () => {
    // The Design of Experiments, 1935, section 21: heights of 15 pairs, crossed less self-fertilised, in eighths of an inch.
    const differences = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    expect(signFlipTest(differences)).toBe((2 * 863) / 32_768)
  })

  test('counts every choice of signs, ties among them', () => {
    const brute = (differences: readonly number[]): number => {
      const n = differences.length
      const observed = Math.abs(differences.reduce((sum, x) => sum + x, 0))
      let asFar = 0
      for (let choice = 0; choice < 2 ** n; choice++) {
        const sum = differences.reduce((total, x, i) => total + (choice & (1 << i) ? x : -x), 0)
        if (Math.abs(sum) >= observed) asFar++
      }
      return asFar / 2 ** n
    }
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -20, max: 20 }), { minLength: 1, maxLength: 10 }), (differences) => {
        expect(signFlipTest(differences)).toBe(brute(differences))
        // A tenth is no sum of powers of two: ties are ties all the same.
        expect(signFlipTest(differences.map((x) => x / 10))).toBe(brute(differences))
      }),
    )
  })

  test('by draws is what is exact, but for their noise, and the same every time', () => {
    // 24 pairs of +1 and -1: the sum is binomial.
    const differences = Array.from({ length: 24 }, (_, i) => (i < 17 ? 1 : -1))
    const choose = (n: number, k: number): number => (k === 0 ? 1 : (choose(n, k - 1) * (n - k + 1)) / k)
    let tail = 0
    for (let k = 17; k <= 24; k++) tail += choose(24, k)
    const p = signFlipTest(differences)!
    expect(Math.abs(p - (2 * tail) / 2 ** 24)).toBeLessThan(0.01)
    expect(signFlipTest(differences)).toBe(p)
  })

  test('is to the bit that of independent pairs with one scan a subject', () => {
    // The numbers of commit 0d38a82, which took all cases for independent.
    const differences = Array.from({ length: 24 }, (_, i) => Math.sin(i * 7) * 0.01 + 0.003)
    const names = differences.map((_, i) => `sub-${i}`)
    expect([signFlipTest(differences, names), signFlipTest(differences)]).toEqual([0.0137, 0.0137])
  })

  test('finds no more in the same scans once more: all of a subject change their sign together', () => {
    const differences = [0.02, 0.01, 0.03, -0.005, 0.015, 0.02]
    const names = differences.map((_, i) => `sub-${i}`)
    const once = signFlipTest(differences)
    expect(once).toBe(4 / 64)
    expect(signFlipTest([...differences, ...differences], [...names, ...names])).toBe(once)
    expect(signFlipTest([...differences, ...differences])).toBeLessThan(once!)
    expect(signFlipTest([0.01, 0.02, 0.03], ['a', 'a', 'a'])).toBe(1)
  })

  test('without a difference finds nothing', () => {
    expect(signFlipTest([0, 0, 0])).toBe(1)
    expect(signFlipTest([0.2])).toBe(1)
    expect(signFlipTest([])).toBeNull()
  })
})

describe('several p-values', () => {
  test('are adjusted step by step, in the order that they came in', () => {
    const adjusted = holm([0.01, 0.04, null, 0.03, 0.005])
    expect(adjusted.map((p) => p && Math.round(1000 * p) / 1000)).toEqual([0.03, 0.06, null, 0.06, 0.02])
    expect(holm([0.6, 0.7])).toEqual([1, 1])
    expect(holm([])).toEqual([])
  })
})
