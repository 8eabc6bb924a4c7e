import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sitesByValue } from './sites-by-value.js'

test('a value that can be the name of a folder and of a site is its name', () => {
  const values = ['Guys', 'HH', 'IOP', '3T', 'site-1', 'v1.2_b']
  expect([...sitesByValue(values)]).toEqual([...values].sort().map((value) => [value, value]))
})

test.each([
  ["Guy's Hospital", 'Guy-s-Hospital'],
  ['Zürich / USZ', 'Zurich-USZ'],
  ['../../etc', 'etc'],
  ['北京', 'site'],
  ['NUL', 'site-NUL'],
  ['com1.x', 'site-com1.x'],
  [`con.${'a'.repeat(54)}.b`, `site-con.${'a'.repeat(54)}`],
])('of "%s" it keeps what can be: %s', (value, name) => {
  expect(sitesByValue([value]).get(value)).toBe(name)
})

test('values that come to one name, also but for their case, are told apart, and who has that very name keeps it', () => {
  expect([...sitesByValue(['a b', 'a-b', 'A-B'])]).toEqual([
    ['A-B', 'A-B'],
    ['a b', 'a-b-3'],
    ['a-b', 'a-b-2'],
  ])
})

test('names are unique, as a federation takes them, and the same in any order', () => {
  const values = fc.uniqueArray(fc.oneof(fc.string({ minLength: 1, maxLength: 90 }), fc.string({ unit: 'grapheme' })), {
    maxLength: 12,
  })
  fc.assert(
    fc.property(values, (list) => {
      const names = sitesByValue(list)
      expect(new Set([...names.values()].map((name) => name.toLowerCase())).size).toBe(list.length)
      // Windows takes a dot at the end away.
      for (const name of names.values()) expect(name).toMatch(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_])?$/)
      expect([...sitesByValue([...list].reverse())]).toEqual([...names])
    }),
  )
})
