import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { allocate, quotasOf } from './allocate.js'
import { SPLITS, splitSubjects } from './split.js'

const weights = fc
  .array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 8 })
  .filter((list) => list.some((weight) => weight > 0.01))
const subjects = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 60 })
const ratios = fc
  .tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }), fc.constant(0.1))
  .map((list): [number, number, number] => list)

describe('allocate', () => {
  test('gives everything out, and no share is further than one from its quota', () => {
    fc.assert(
      fc.property(fc.nat(2000), weights, (total, list) => {
        const shares = allocate(total, list)
        const sum = list.reduce((a, b) => a + b, 0)
        expect(shares.reduce((a, b) => a + b, 0)).toBe(total)
        for (const [index, share] of shares.entries()) {
          expect(Math.abs(share - (total * list[index]!) / sum)).toBeLessThan(1 + 1e-6)
        }
      }),
    )
  })

  test('24 subjects at 0.75, 0.15, 0.1 are 18, 4 and 2: quotas 18, 3.6, 2.4', () => {
    expect(allocate(24, [0.75, 0.15, 0.1])).toEqual([18, 4, 2])
  })

  test('a quota that is whole but for rounding is taken whole', () => {
    expect(allocate(20, [0.75, 0.15, 0.1])).toEqual([15, 3, 2])
    expect(allocate(100, [0.7, 0.2, 0.1])).toEqual([70, 20, 10])
  })

  test('of equal remainders the first takes what is left', () => {
    expect(allocate(5, [1, 1])).toEqual([3, 2])
    expect(allocate(1, [1, 1, 1])).toEqual([1, 0, 0])
  })
})

describe('splitSubjects', () => {
  test('every subject is in one split, and the sizes are those of the largest remainder', () => {
    fc.assert(
      fc.property(subjects, ratios, fc.nat(), (list, weightsOfSplits, seed) => {
        const splits = splitSubjects(list, weightsOfSplits, seed)
        expect([...splits.keys()].sort()).toEqual([...list].sort())
        const sizes = ['train', 'valid', 'test'].map(
          (split) => [...splits.values()].filter((value) => value === split).length,
        )
        expect(sizes).toEqual(allocate(list.length, weightsOfSplits))
      }),
    )
  })

  test('neither the order of the subjects nor how often each is named changes the split', () => {
    fc.assert(
      fc.property(subjects, fc.nat(), (list, seed) => {
        const once = splitSubjects(list, [2, 1, 1], seed)
        const again = splitSubjects([...list].reverse().concat(list), [2, 1, 1], seed)
        expect([...again].sort()).toEqual([...once].sort())
      }),
    )
  })

  test('another seed gives another split', () => {
    const list = Array.from({ length: 24 }, (_, index) => `s${index}`)
    const drawn = new Set(
      [0, 1, 2, 3, 4].map((seed) => JSON.stringify([...splitSubjects(list, [2, 1, 1], seed)].sort())),
    )
    expect(drawn.size).toBe(5)
  })

  const strata = fc.uniqueArray(
    fc.tuple(fc.string({ maxLength: 8 }), fc.constantFrom('', 'GE', 'Siemens', 'Philips')),
    {
      selector: ([subject]) => subject,
      minLength: 1,
      maxLength: 60,
    },
  )

  test('stratified, the sizes are the same, and every part has its share of every stratum, to within one subject', () => {
    fc.assert(
      fc.property(strata, ratios, fc.nat(), (rows, weightsOfSplits, seed) => {
        const of = new Map(rows)
        const splits = splitSubjects(of.keys(), weightsOfSplits, seed, of)
        expect([...splits.keys()].sort()).toEqual([...of.keys()].sort())
        const count = (split: string, stratum?: string): number =>
          rows.filter(([subject, value]) => splits.get(subject) === split && value === (stratum ?? value)).length
        expect(SPLITS.map((split) => count(split))).toEqual(allocate(rows.length, weightsOfSplits))
        for (const stratum of of.values()) {
          const size = rows.filter(([, value]) => value === stratum).length
          for (const [index, quota] of quotasOf(size, weightsOfSplits).entries())
            expect(Math.abs(count(SPLITS[index]!, stratum) - quota)).toBeLessThan(1 + 1e-6)
        }
      }),
    )
  })

  test('stratified, the order of the subjects does not change the split', () => {
    fc.assert(
      fc.property(strata, fc.nat(), (rows, seed) => {
        const [of, reversed] = [new Map(rows), new Map([...rows].reverse())]
        const again = splitSubjects(reversed.keys(), [2, 1, 1], seed, reversed)
        expect([...again].sort()).toEqual([...splitSubjects(of.keys(), [2, 1, 1], seed, of)].sort())
      }),
    )
  })

  test('ratios that are no ratios are refused', () => {
    for (const wrong of [
      [0, 0, 0],
      [1, -1, 1],
      [1, Number.NaN, 1],
    ] as const) {
      expect(() => splitSubjects(['a'], wrong, 0)).toThrowError(expect.objectContaining({ code: 'RATIOS_INVALID' }))
    }
  })
})
