import fc from 'fast-check'
import { expect, test } from 'vitest'
import { allocate, quotasOf } from './allocate.js'
import { allocateStrata } from './allocate-strata.js'

const sizes = fc.array(fc.nat(40), { maxLength: 12 })
const weights = fc
  .array(fc.oneof(fc.constant(0), fc.double({ min: 0.01, max: 1, noNaN: true })), { minLength: 1, maxLength: 6 })
  .filter((list) => list.some((weight) => weight > 0))

const total = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0)

test('every stratum is given out whole, the totals are those of all together, and no share is further than one from its quota', () => {
  fc.assert(
    fc.property(sizes, weights, (list, parts) => {
      const shares = allocateStrata(list, parts)
      expect(shares.map(total)).toEqual(list)
      expect(parts.map((_, column) => total(shares.map((row) => row[column]!)))).toEqual(allocate(total(list), parts))
      for (const [row, size] of list.entries()) {
        for (const [column, quota] of quotasOf(size, parts).entries())
          expect(Math.abs(shares[row]![column]! - quota)).toBeLessThan(1 + 1e-6)
      }
    }),
  )
})

test('the result is the most even one: its squared distance from the quotas is the least of all tables with these sums', () => {
  const small = fc.array(fc.nat(4), { minLength: 1, maxLength: 3 })
  const three = fc.tuple(...[0, 1, 2].map(() => fc.integer({ min: 1, max: 9 })))
  fc.assert(
    fc.property(small, three, (list, parts) => {
      const quotas = list.map((size) => quotasOf(size, parts))
      const distance = (table: readonly (readonly number[])[]): number =>
        total(table.flatMap((row, i) => row.map((count, j) => (count - quotas[i]![j]!) ** 2)))
      const isNear = (table: readonly (readonly number[])[]): boolean =>
        table.every((row, i) => row.every((count, j) => Math.abs(count - quotas[i]![j]!) < 1))
      const wanted = allocate(total(list), parts)
      const all = tables(list).filter((table) => wanted.every((sum, j) => total(table.map((row) => row[j]!)) === sum))
      const least = Math.min(...all.filter(isNear).map(distance))
      expect(distance(allocateStrata(list, parts))).toBeCloseTo(least, 9)
    }),
    { numRuns: 60 },
  )
})

/** All tables of three columns whose rows have these sums. */
function tables(sums: readonly number[]): number[][][] {
  const [first, ...rest] = sums
  if (first === undefined) return [[]]
  const rows = Array.from({ length: first + 1 }, (_, a) =>
    Array.from({ length: first - a + 1 }, (_, b) => [a, b, first - a - b]),
  ).flat()
  return rows.flatMap((row) => tables(rest).map((table) => [row, ...table]))
}

test('three of each of four at 0.5, 0.25, 0.25 are 6, 3 and 3: quotas 1.5, 0.75, 0.75', () => {
  const shares = allocateStrata([3, 3, 3, 3], [0.5, 0.25, 0.25])
  expect([0, 1, 2].map((column) => total(shares.map((row) => row[column]!)))).toEqual([6, 3, 3])
  for (const row of shares) expect(row[0]).toBeGreaterThanOrEqual(1)
})
