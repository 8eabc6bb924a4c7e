import { expect, test } from 'vitest'
import { SiteStates } from './site-states.js'

const event = (state: 'online' | 'failed' | 'training' | 'waiting', site = 'a') =>
  ({ type: 'site-state', site, state }) as const

function watched() {
  const told: { site: string; state: string }[] = []
  const states = new SiteStates(({ site, state }) => told.push({ site, state }))
  return { told, states }
}

test('a site that comes and goes all the time is shown late, and right in the end', () => {
  const { told, states } = watched()
  for (let i = 0; i < 500; i++) states.take(event(i % 2 === 0 ? 'online' : 'failed'), i)
  expect(told).toHaveLength(60)
  states.take(event('online'), 600)
  states.take(event('training'), 601)
  states.take(event('online', 'b'), 601)
  expect(told.at(-1)).toEqual({ site: 'b', state: 'online' })
  states.settle(4999)
  expect(told).toHaveLength(61)
  states.settle(5000)
  expect(told.at(-1)).toEqual({ site: 'a', state: 'training' })
  states.settle(5001)
  expect(told).toHaveLength(62)
})

test('who goes on is told ever more seldom', () => {
  const { told, states } = watched()
  for (let at = 0; at < 3_600_000; at += 10) states.take(event(at % 20 === 0 ? 'online' : 'failed'), at)
  // 5 s, 10 s, ... 320 s, then six times or less 600 s: 635 s and five more in an hour.
  expect(told).toHaveLength(12 * 60)
})

test('the states of a site’s work are told however fast its rounds are', () => {
  const { told, states } = watched()
  for (let i = 0; i < 1000; i++) states.take(event(i % 2 === 0 ? 'training' : 'waiting'), i)
  expect(told).toHaveLength(1000)
})

test('what was withheld is told at the end of the run', () => {
  const { told, states } = watched()
  for (let i = 0; i < 100; i++) states.take(event('online'), i)
  states.take(event('failed'), 100)
  states.end()
  expect(told.at(-1)).toEqual({ site: 'a', state: 'failed' })
  expect(told).toHaveLength(61)
})
