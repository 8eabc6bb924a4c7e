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
  expect(parseBytes('1.5 gb')).toBe(1.5e9)
  expect(parseBytes('2e9')).toBe(2e9)
  for (const nonsense of [
    'much',
    '',
    'GB',
    '-2GB',
    '2 GBs',
    '1.2.3GB',
    '0',
    '0.0GB',
    '1e400',
    '1e30GB',
    'NaN',
    '2XB',
    '0x10',
  ]) {
    expect(() => parseBytes(nonsense), nonsense).toThrow(
      expect.objectContaining({ code: 'USAGE_BYTES', kind: 'usage' }),
    )
  }
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
