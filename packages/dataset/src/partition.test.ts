import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Split } from './manifest.js'
import { partitionSubjects, siteNames } from './partition.js'
import { type Partition, parsePartition, partitionName } from './partition-name.js'
import { splitSubjects } from './split.js'

const subjects = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 60 })
const alpha = fc.constantFrom(1e-6, 0.01, 0.5, 1, 100, 1e6)
const VALUES = ['', 'GE', 'Philips', 'Siemens']

/** Subjects with a value each, as a table has them, and how they are dealt. */
const dealt = fc.record({
  rows: subjects.chain((list) =>
    fc.tuple(...list.map((subject) => fc.tuple(fc.constant(subject), fc.constantFrom(...VALUES)))),
  ),
  sites: fc.integer({ min: 1, max: 7 }),
  seed: fc.nat(),
  partition: fc.oneof(
    fc.constant<Partition>({ how: 'iid' }),
    alpha.map((value): Partition => ({ how: 'quantity', alpha: value })),
    alpha.map((value): Partition => ({ how: 'dirichlet', alpha: value, column: 'vendor' })),
  ),
})

type Dealt = typeof dealt extends fc.Arbitrary<infer T> ? T : never

function deal({ rows, sites, seed, partition }: Dealt) {
  const splits = splitSubjects(
    rows.map(([subject]) => subject),
    [6, 3, 1],
    seed,
  )
  const siteOf = partitionSubjects(splits, siteNames(sites), partition, seed, new Map(rows))
  return { splits, siteOf }
}

function sizes(splits: Map<string, Split>, siteOf: Map<string, string>, split: Split, sites: number): number[] {
  return siteNames(sites).map(
    (site) => [...siteOf].filter(([subject, name]) => name === site && splits.get(subject) === split).length,
  )
}

describe('partitionSubjects', () => {
  test('every train and valid subject has one of the sites, and test subjects have none', () => {
    fc.assert(
      fc.property(dealt, (given) => {
        const { splits, siteOf } = deal(given)
        for (const [subject, split] of splits) expect(siteOf.has(subject)).toBe(split !== 'test')
        for (const site of siteOf.values()) expect(siteNames(given.sites)).toContain(site)
      }),
    )
  })

  test('no site is without a training subject where there are enough of them', () => {
    fc.assert(
      fc.property(dealt, (given) => {
        const { splits, siteOf } = deal(given)
        const counts = sizes(splits, siteOf, 'train', given.sites)
        fc.pre(counts.reduce((a, b) => a + b, 0) >= given.sites)
        expect(Math.min(...counts)).toBeGreaterThan(0)
      }),
    )
  })

  test('neither the order of the subjects nor of their values changes the deal', () => {
    fc.assert(
      fc.property(dealt, (given) => {
        const again = deal({ ...given, rows: [...given.rows].reverse() })
        expect([...again.siteOf].sort()).toEqual([...deal(given).siteOf].sort())
      }),
    )
  })

  test('shares differ by at most one, but where their sizes are drawn', () => {
    fc.assert(
      fc.property(dealt, (given) => {
        fc.pre(given.partition.how !== 'quantity')
        const { splits, siteOf } = deal(given)
        for (const split of ['train', 'valid'] as const) {
          const counts = sizes(splits, siteOf, split, given.sites)
          expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
        }
      }),
    )
  })

  test('the number of sites does not change who is in test', () => {
    const list = Array.from({ length: 20 }, (_, index) => `s${index}`)
    const splits = splitSubjects(list, [2, 1, 1], 7)
    const held = (sites: number): string[] =>
      [...partitionSubjects(splits, siteNames(sites), { how: 'iid' }, 7).keys()].sort()
    expect(held(4)).toEqual(held(2))
  })

  const many = Array.from({ length: 400 }, (_, index) => `s${index}`)
  const all = new Map(many.map((subject, index): [string, Split] => [subject, index % 4 === 3 ? 'valid' : 'train']))

  test('quantity: sizes are far apart where alpha is small and alike where it is large, in train as in valid', () => {
    const drawn = (value: number): [number[], number[]] => {
      const siteOf = partitionSubjects(all, siteNames(4), { how: 'quantity', alpha: value }, 3)
      return [sizes(all, siteOf, 'train', 4), sizes(all, siteOf, 'valid', 4)]
    }
    const [train, valid] = drawn(0.2)
    expect(Math.max(...train)).toBeGreaterThan(150)
    expect(train.map((size) => size / 3).every((size, i) => Math.abs(size - valid[i]!) < 1.5)).toBe(true)
    const [alike] = drawn(1e6)
    expect(Math.max(...alike) - Math.min(...alike)).toBeLessThanOrEqual(1)
  })

  test('dirichlet: sites hold one value nearly alone where alpha is small, and the mixture of all where it is large', () => {
    const valueBySubject = new Map(many.map((subject, index) => [subject, ['GE', 'Siemens'][(index >> 2) % 2]!]))
    const parts = (value: number): number[] => {
      const siteOf = partitionSubjects(
        all,
        siteNames(4),
        { how: 'dirichlet', alpha: value, column: 'vendor' },
        5,
        valueBySubject,
      )
      return siteNames(4).map((site) => {
        const own = [...siteOf].filter(([, name]) => name === site)
        return own.filter(([subject]) => valueBySubject.get(subject) === 'GE').length / own.length
      })
    }
    // Of 100 draws at one half: three standard deviations, 0.05 each.
    for (const part of parts(1e6)) expect(Math.abs(part - 0.5)).toBeLessThan(0.15)
    expect(parts(0.01).filter((part) => part < 0.05 || part > 0.95).length).toBeGreaterThanOrEqual(2)
  })

  test('by: subjects go where their value says, whatever the seed', () => {
    const valueBySubject = new Map(many.map((subject, index) => [subject, ["Guy's Hospital", 'HH', ''][index % 3]!]))
    for (const seed of [1, 2]) {
      const siteOf = partitionSubjects(
        all,
        ['Guy-s-Hospital', 'HH'],
        { how: 'by', column: 'site' },
        seed,
        valueBySubject,
      )
      for (const [index, subject] of many.entries())
        expect(siteOf.get(subject)).toBe(['Guy-s-Hospital', 'HH', undefined][index % 3])
    }
  })
})

describe('parsePartition', () => {
  test.each([
    ['iid', { how: 'iid' }],
    ['quantity:0.5', { how: 'quantity', alpha: 0.5 }],
    ['dirichlet:1e-2:site: name', { how: 'dirichlet', alpha: 0.01, column: 'site: name' }],
    ['by:hospital', { how: 'by', column: 'hospital' }],
  ])('reads %s, and writes the same again', (text, partition) => {
    expect(parsePartition(text)).toEqual(partition)
    expect(parsePartition(partitionName(parsePartition(text)))).toEqual(partition)
  })

  test('takes the column of --stratify where a mixture names none, and says so where there is none', () => {
    expect(parsePartition('dirichlet:1', 'vendor')).toEqual({ how: 'dirichlet', alpha: 1, column: 'vendor' })
    expect(parsePartition('dirichlet:1:center', 'vendor')).toMatchObject({ column: 'center' })
    expect(() => parsePartition('dirichlet:1')).toThrowError(
      expect.objectContaining({
        code: 'PARTITION_INVALID',
        hint: 'name it: dirichlet:1:<column>, or --stratify <column>',
      }),
    )
  })

  test.each([
    ...['', 'iid:', 'IID', 'by', 'by: ', 'quantity', 'quantity:', 'quantity:0', 'quantity:-1', 'quantity:x'],
    ...['quantity:1:center', 'quantity:Infinity', 'dirichlet', 'dirichlet:1:', 'dirichlet::center', 'random'],
  ])('refuses "%s" as a mistake of usage', (text) => {
    expect(() => parsePartition(text)).toThrowError(
      expect.objectContaining({
        code: 'PARTITION_INVALID',
        kind: 'usage',
        hint: expect.stringContaining('by:<column>'),
      }),
    )
  })
})
