import fc from 'fast-check'
import { expect, test } from 'vitest'
import { mostThatFit } from './what-fits.js'

test('the most that fit are those that counting down finds', () => {
  fc.assert(
    fc.property(fc.nat(200), fc.nat(250), (most, room) => {
      const fits = (count: number): boolean => count <= room
      let counted = most
      while (counted > 0 && !fits(counted)) counted--
      expect(mostThatFit(most, fits)).toBe(counted)
    }),
  )
})
