import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ASCII } from './palette.js'
import { drawSparkline, scaleOf } from './sparkline.js'

const draw = (values: (number | null)[], width = values.length) =>
  drawSparkline(values, scaleOf(values), width, 1, ASCII)[0]!

test('the lowest value gets the lowest level, the highest the highest, and one that is not there a gap', () => {
  expect(draw([0, 0.5, null, 1])).toBe('_~ #')
  expect(draw([3, 3])).toBe('~~')
  expect(draw([null, Number.NaN])).toBe('')
})

test('values that lie further apart than the largest number are drawn like any others', () => {
  expect(draw([-Number.MAX_VALUE, 1e300, Number.MAX_VALUE])).toBe('_~#')
})

test('whatever the values, a line is of levels and gaps and as wide as it may be at most', () => {
  fc.assert(
    fc.property(
      fc.array(fc.option(fc.double()), { maxLength: 30 }),
      fc.integer({ min: 0, max: 20 }),
      (values, width) => {
        const line = draw(values, width)
        expect(line.length).toBeLessThanOrEqual(width)
        for (const character of line) expect([' ', ...ASCII.levels]).toContain(character)
      },
    ),
  )
})
