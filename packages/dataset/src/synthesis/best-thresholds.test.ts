import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bestThresholds, type ThresholdCase } from './best-thresholds.js'

const NAMES = ['background', 'white', 'grey'] as const

/** Foreground Dice of one pair of thresholds, voxel by voxel. */
function score(cases: readonly ThresholdCase[], low: number, high: number): number | null {
  const values = [1, 2].map((wanted) => {
    let hit = 0
    let size = 0
    for (const { image, label } of cases) {
      image.forEach((value, i) => {
        const predicted = value >= high ? 1 : value >= low ? 2 : 0
        if (predicted === wanted) size++
        if (label[i] === wanted) size++
        if (predicted === wanted && label[i] === wanted) hit++
      })
    }
    return size === 0 ? null : (2 * hit) / size
  })
  const present = values.filter((value) => value !== null)
  return present.length === 0 ? null : present.reduce((sum, value) => sum + value, 0) / present.length
}

const cases: fc.Arbitrary<ThresholdCase[]> = fc.array(
  fc
    .array(fc.tuple(fc.integer({ min: 0, max: 15 }), fc.integer({ min: 0, max: 2 })), { maxLength: 12 })
    .map((voxels) => ({
      image: Uint8Array.from(voxels, ([value]) => value * 17),
      label: Uint8Array.from(voxels, ([, value]) => value),
    })),
  { minLength: 1, maxLength: 3 },
)

describe('bestThresholds', () => {
  test('no pair of thresholds is better, and its own pair has the Dice it says', () => {
    fc.assert(
      fc.property(cases, (some) => {
        const best = bestThresholds(some, NAMES)
        let largest = -1
        for (let high = 0; high <= 256; high += 17)
          for (let low = 0; low <= high; low += 17) largest = Math.max(largest, score(some, low, high) ?? -1)
        // thresholds between 17 n + 1 and 17 (n + 1) are the same, so steps of 17 (and 256) try them all
        for (let low = 0; low <= 256; low += 17) largest = Math.max(largest, score(some, low, 256) ?? -1)
        expect(best.foregroundDice ?? -1).toBeCloseTo(largest, 12)
        expect(score(some, best.low, best.high) ?? -1).toBeCloseTo(best.foregroundDice ?? -1, 12)
      }),
      { numRuns: 60 },
    )
  })

  test('three classes that intensity separates are segmented without error', () => {
    const best = bestThresholds(
      [{ image: Uint8Array.of(3, 90, 91, 200, 255), label: Uint8Array.of(0, 2, 2, 1, 1) }],
      NAMES,
    )
    expect(best).toMatchObject({ foregroundDice: 1, perClass: { background: 1, white: 1, grey: 1 } })
    expect(best.low).toBeGreaterThan(3)
    expect(best.low).toBeLessThanOrEqual(90)
    expect(best.high).toBeGreaterThan(91)
    expect(best.high).toBeLessThanOrEqual(200)
  })

  test('fat as bright as white matter costs what two thresholds cannot win back', () => {
    const voxels = [0, 0, 100, 100, 200, 200, 200, 200]
    const best = bestThresholds(
      [{ image: Uint8Array.from(voxels), label: Uint8Array.of(0, 0, 2, 2, 1, 1, 0, 0) }],
      NAMES,
    )
    expect(best.perClass.white).toBeCloseTo((2 * 2) / (2 + 4), 12)
    expect(best.perClass.grey).toBe(1)
  })
})
