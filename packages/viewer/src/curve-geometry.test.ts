import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { niceTicks, plotGeometry } from './curve-geometry.js'

const BOX = { width: 400, height: 200 }
const curve = (...values: (number | null)[]) => ({
  name: 'x',
  points: values.map((value, i) => ({ round: i + 1, value })),
})

describe('plotGeometry', () => {
  test('draws from the first round to the last, and from the range below to above', () => {
    const { paths } = plotGeometry([curve(0, 0.5, 1)], { ...BOX, range: [0, 1] })!
    expect(paths).toEqual(['M0.0 200.0L200.0 100.0L400.0 0.0'])
  })

  test('leaves a gap where there is no value, and has a dot between two gaps that no dashes swallow', () => {
    const { paths, dots } = plotGeometry([curve(1, null, 1, Number.NaN, 0, 0)], { ...BOX, range: [0, 1] })!
    expect(paths).toEqual(['M320.0 200.0L400.0 200.0'])
    expect(dots).toEqual(['M0.0 0.0h0M160.0 0.0h0'])
  })

  test('has a dot for the first round, which has no line yet', () => {
    expect(plotGeometry([curve(0.5)], { ...BOX, range: [0, 1] })).toMatchObject({
      paths: [''],
      dots: ['M200.0 100.0h0'],
    })
  })

  test('has nothing to draw without a value', () => {
    expect(plotGeometry([], BOX)).toBeUndefined()
    expect(plotGeometry([curve(), curve(null, null)], BOX)).toBeUndefined()
  })

  test('stays in its box, whatever the values', () => {
    const value = fc.option(fc.double({ noDefaultInfinity: false, min: -1e300, max: 1e300 }), { nil: null })
    fc.assert(
      fc.property(fc.array(fc.array(value, { maxLength: 6 }), { maxLength: 3 }), (all) => {
        const drawn = plotGeometry(
          all.map((values) => curve(...values)),
          BOX,
        )
        for (const [, x, y] of [...(drawn?.paths ?? []), ...(drawn?.dots ?? [])]
          .join('')
          .matchAll(/[ML]([^ ]+) ([-\d.]+)/g) ?? []) {
          expect(Number(x)).toBeGreaterThanOrEqual(0)
          expect(Number(x)).toBeLessThanOrEqual(BOX.width)
          expect(Number(y)).toBeGreaterThanOrEqual(0)
          expect(Number(y)).toBeLessThanOrEqual(BOX.height)
        }
        for (const { y } of drawn?.yTicks ?? [])
          expect(Math.abs(y - BOX.height / 2)).toBeLessThanOrEqual(BOX.height / 2 + 1)
      }),
    )
  })
})

test('ticks are round numbers within the range', () => {
  expect(niceTicks(0, 1)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1])
  expect(niceTicks(0, 1.31)).toEqual([0, 0.5, 1])
  expect(niceTicks(1, 36)).toEqual([10, 20, 30])
  expect(niceTicks(3, 3)).toEqual([3])
})
