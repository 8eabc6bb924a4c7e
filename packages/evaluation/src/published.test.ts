import { describe, expect, test } from 'vitest'
import { evaluateCase } from './case-metrics.js'

/**
 * The numbers that MetricsReloaded's own tests expect (test/test_metrics/test_pairwise_measures.py, Apache-2.0), to the digits
 * given there; the volumes are built here from their description.
 */
const measure = (truth: number[], prediction: number[]) =>
  evaluateCase({ subject: 's', truth, prediction, classNames: ['background', 'x'], voxelVolumeMl: 1 }).perClass.x!

/** An 11 x 11 picture of what lies in any of the rectangles [top, bottom, left, right], their ends included. */
function picture(...rectangles: [number, number, number, number][]): number[] {
  return Array.from({ length: 121 }, (_, i) => {
    const [row, column] = [Math.floor(i / 11), i % 11]
    const inside = rectangles.some(
      ([top, bottom, left, right]) => row >= top && row <= bottom && column >= left && column <= right,
    )
    return inside ? 1 : 0
  })
}
/** Runs of ones and zeros. */
const runs = (...lengths: number[]): number[] =>
  lengths.flatMap((length, i) => Array.from({ length }, () => (i + 1) % 2))

describe('published numbers of MetricsReloaded', () => {
  test('a square against itself with a cross through it: Dice .862, IoU .76', () => {
    const square = picture([3, 7, 3, 7])
    const crossed = picture([3, 7, 3, 7], [5, 5, 1, 9], [1, 9, 5, 5])
    expect(measure(square, crossed).dice).toBeCloseTo(0.862, 3)
    expect(measure(square, crossed).jaccard).toBeCloseTo(0.76, 2)
  })

  test('a larger structure with one pixel missed: Dice .986', () => {
    const truth = picture([2, 4, 2, 8], [5, 8, 2, 5])
    const prediction = truth.map((value, i) => (i === 8 * 11 + 2 ? 0 : value))
    expect(measure(truth, prediction).dice).toBeCloseTo(0.986, 3)
  })

  test('sensitivity .57; precision .82 and .98', () => {
    expect(measure(runs(70, 1), [...runs(40, 30), 1]).sensitivity).toBeCloseTo(0.57, 2)
    expect(measure(runs(50, 50), runs(45, 5, 10, 40)).precision).toBeCloseTo(0.82, 2)
    expect(measure(runs(90, 10), runs(81, 9, 2, 8)).precision).toBeCloseTo(0.98, 2)
  })
})
