import { afterEach, expect, test, vi } from 'vitest'
import { chooseGlyphs } from './palette.js'
import { cutMiddle, cutText } from './text.js'

afterEach(() => {
  vi.unstubAllEnvs()
})

test('names that differ at their ends are cut in the middle', () => {
  expect(cutMiddle('hospital-with-a-long-name-1', 15)).toBe('hospita…-name-1')
  expect(cutMiddle('hospital-with-a-long-name-2', 15)).toBe('hospita…-name-2')
  expect(cutMiddle('放射線科の病院その一', 11)).toBe('放射線…の一')
  expect(cutMiddle('site-1', 15)).toBe('site-1')
  expect(cutMiddle('site-1', 4)).toBe('sit…')
})

test.each([
  ['de_DE.UTF-8', '…', '━'],
  ['UTF-8', '…', '━'],
  ['de_DE.ISO-8859-1', '.', '='],
  ['de_DE@euro', '.', '='],
  ['C', '.', '='],
])('with the locale %s what is cut ends in %s, and a bar is of %s', (locale, ellipsis, full) => {
  vi.stubEnv('LC_ALL', locale)
  expect(cutText('a long sentence', 7)).toBe(`a long${ellipsis}`)
  expect(chooseGlyphs().full).toBe(full)
})
