import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createRandom } from './random.js'

test('the same seed and scope give the same stream', () => {
  const a = createRandom(7, 'shuffle', 3, 'site-1')
  const b = createRandom(7, 'shuffle', 3, 'site-1')
  expect(Array.from({ length: 100 }, a.uint32)).toEqual(Array.from({ length: 100 }, b.uint32))
})

test('another seed, or another part of the scope, gives another stream', () => {
  const first = createRandom(7, 'shuffle', 1).uint32()
  expect(createRandom(8, 'shuffle', 1).uint32()).not.toBe(first)
  expect(createRandom(7, 'shuffle', 2).uint32()).not.toBe(first)
  expect(createRandom(7, 'shuffle', '1').uint32()).not.toBe(first)
})

test('a shuffle keeps every item once', () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), fc.nat(), (items, seed) => {
      expect(createRandom(seed).shuffle(items).sort()).toEqual([...items].sort())
    }),
  )
})

test('uniform draws lie in [0, 1), have mean 1/2 and variance 1/12', () => {
  const random = createRandom(1)
  const draws = Array.from({ length: 50_000 }, random.uniform)
  expect(Math.min(...draws.slice(0, 1000))).toBeGreaterThanOrEqual(0)
  const mean = draws.reduce((a, b) => a + b) / draws.length
  const variance = draws.reduce((a, b) => a + (b - mean) ** 2, 0) / draws.length
  expect(mean).toBeCloseTo(0.5, 2)
  expect(variance).toBeCloseTo(1 / 12, 2)
})

test('normal draws have mean 0, variance 1 and fourth moment 3', () => {
  const random = createRandom(2)
  const draws = Array.from({ length: 100_000 }, random.normal)
  const moment = (power: number): number => draws.reduce((sum, x) => sum + x ** power, 0) / draws.length
  expect(moment(1)).toBeCloseTo(0, 1)
  expect(moment(2)).toBeCloseTo(1, 1)
  expect(Math.abs(moment(4) - 3)).toBeLessThan(0.15)
})

test('integers below a bound are all reached and never exceed it', () => {
  const random = createRandom(3)
  const seen = new Set(Array.from({ length: 1000 }, () => random.integer(7)))
  expect([...seen].sort()).toEqual([0, 1, 2, 3, 4, 5, 6])
})
