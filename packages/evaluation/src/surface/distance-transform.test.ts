import type { Shape } from '@meshfl/volume'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { squaredDistances } from './distance-transform.js'

type Point = [number, number, number]

function pointsOf([width, height, depth]: Shape): Point[] {
  return Array.from({ length: width * height * depth }, (_, i) => [
    i % width,
    Math.floor(i / width) % height,
    Math.floor(i / (width * height)),
  ])
}

/** Every point against every mark. */
function byBruteForce(marked: Uint8Array, shape: Shape, spacing: Point): number[] {
  const points = pointsOf(shape)
  const marks = points.filter((_, i) => marked[i] !== 0)
  return points.map((a) =>
    marks.reduce(
      (least, b) =>
        Math.min(
          least,
          a.reduce((sum, at, axis) => sum + ((at - b[axis]!) * spacing[axis]!) ** 2, 0),
        ),
      Number.POSITIVE_INFINITY,
    ),
  )
}

const masks = fc
  .tuple(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 7 }))
  .chain((shape) => {
    const count = shape[0] * shape[1] * shape[2]
    const mark = fc.oneof(
      { weight: 6, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: 255 }) },
    )
    const edge = fc.double({ min: 0.1, max: 10, noNaN: true })
    return fc.record({
      shape: fc.constant(shape),
      marked: fc.array(mark, { minLength: count, maxLength: count }).map((marks) => Uint8Array.from(marks)),
      spacing: fc.tuple(edge, edge, edge),
    })
  })

describe('the distance transform', () => {
  test('is what brute force finds, for any marks and any spacing', () => {
    fc.assert(
      fc.property(masks, ({ shape, marked, spacing }) => {
        const found = squaredDistances(marked, shape, spacing)
        const expected = byBruteForce(marked, shape, spacing)
        for (const [i, distance] of expected.entries()) {
          if (Number.isFinite(distance)) expect(Math.abs(found[i]! - distance)).toBeLessThanOrEqual(1e-12 * distance)
          else expect(found[i]).toBe(distance)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('is infinite where nothing is marked', () => {
    expect([...squaredDistances(new Uint8Array(4), [2, 2, 1], [1, 1, 1])]).toEqual(
      Array(4).fill(Number.POSITIVE_INFINITY),
    )
  })

  test('overwrites what the buffer held, and leaves what is beyond it', () => {
    const buffer = new Float64Array(4).fill(7)
    squaredDistances(Uint8Array.of(1, 0, 0), [3, 1, 1], [2, 1, 1], buffer)
    expect([...buffer]).toEqual([0, 4, 16, 7])
  })
})
