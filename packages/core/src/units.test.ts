import { expect, test } from 'vitest'
import { formatBytes, formatDuration, parseBytes } from './units.js'

test('bytes are written in powers of 1000', () => {
  expect(formatBytes(22_752)).toBe('22.8 kB')
  expect(formatBytes(999)).toBe('999 B')
  expect(formatBytes(999_600)).toBe('1.00 MB')
})

test('amounts of memory are read with their unit', () => {
  expect(parseBytes('2GB')).toBe(2e9)
  expect(parseBytes('512 MiB')).toBe(512 * 1024 ** 2)
  expect(() => parseBytes('much')).toThrow(/no amount of memory/)
})

test('durations are short', () => {
  expect([0.423, 12.34, 185, 7620, Number.POSITIVE_INFINITY].map(formatDuration)).toEqual([
    '0.42 s',
    '12.3 s',
    '3m 05s',
    '2h 07m',
    '?',
  ])
})
