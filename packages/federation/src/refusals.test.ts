import { expect, test } from 'vitest'
import { Refusals } from './refusals.js'

test('the first twenty are said at once, then none until the time is over, then how many that were', () => {
  const refusals = new Refusals()
  const said = Array.from({ length: 300 }, (_, i) => refusals.say(`refusal ${i}`, i)).flat()
  expect(said).toEqual(Array.from({ length: 20 }, (_, i) => `refusal ${i}`))
  expect(refusals.say('later', 5000)).toEqual(['280 more refusals were not logged one by one', 'later'])
})

test('the same words are said again after a while only', () => {
  const refusals = new Refusals()
  expect([0, 100, 4999, 5100].map((at) => refusals.say('again', at).length)).toEqual([1, 0, 0, 1])
})

test('who goes on is said ever more seldom, up to the longest time, and who stops is heard at once again', () => {
  const refusals = new Refusals({ longestMs: 40_000 })
  let lines = 0
  // 5 + 10 + 20 + 40 + 40 + 40 s: six times twenty lines, and five times how many more that were.
  for (let at = 0; at < 155_000; at += 50) lines += refusals.say(`${at}`, at).length
  expect(lines).toBe(6 * 20 + 5)
  expect(refusals.say('after a rest', 300_000)).toHaveLength(2)
  for (let at = 400_000; at < 405_000; at += 50) refusals.say(`${at}`, at)
  expect(refusals.say('at the next second again', 405_000)).toHaveLength(2)
})
