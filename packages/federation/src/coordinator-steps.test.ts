import { expect, test } from 'vitest'
import type { CoordinatorEffect, CoordinatorState } from './coordinator-state.js'
import { DICE } from './loopback.fixture.js'
import { joined, metrics, result, run, startMachine } from './machine.fixture.js'

type Commit = Extract<CoordinatorEffect, { type: 'commit' }>

const synced = { sync: 'step', rounds: 2, minSites: 1 } as const
const joins = (name: string, share: number) => ({ ...joined(name), share })
const revoked = (name: string) => ({ type: 'revoked', site: name })
const nameOf = (session: string): string => session.replace('session of ', '')

/** What follows from these events where every site does what it is asked, as long as `isAtWork` says so. */
function play(
  before: CoordinatorState,
  events: Record<string, unknown>[],
  isAtWork: (site: string, exchange: number) => boolean = () => true,
): { state: CoordinatorState; commits: Commit[]; warnings: string[]; hasEnded: boolean } {
  const queue = [...events]
  const commits: Commit[] = []
  const warnings: string[] = []
  let [state, hasEnded] = [before, false]
  const answer = (effect: CoordinatorEffect): void => {
    if (effect.type === 'task') {
      const site = nameOf(effect.session)
      if (effect.purpose === 'evaluate')
        queue.push({ ...effect, type: 'evaluation', site, metrics: { site, weight: 1, loss: 1, dice: DICE } })
      else if (isAtWork(site, effect.round))
        queue.push({ ...effect, type: 'result', site, update: `${site} ${effect.round}`, samples: 1, metrics })
    } else if (effect.type === 'journal') queue.push({ ...effect, type: 'journaled' })
    else if (effect.type === 'commit') {
      commits.push(effect)
      const result = effect.sites.length === 0 ? effect.base : `base-${effect.round}`
      queue.push({ type: 'committed', round: effect.round, result })
    } else if (effect.type === 'record') queue.push({ type: 'recorded', round: effect.round })
    else if (effect.type === 'done')
      queue.push({ type: 'bye', site: nameOf(effect.session), session: effect.session, reason: 'done' })
    else if (effect.type === 'finish') hasEnded = true
    else if (effect.type === 'tell' && effect.event.type === 'log' && effect.event.level === 'warn')
      warnings.push(effect.event.message)
  }
  while (queue.length > 0) {
    const [next, effects] = run(state, queue.shift()!)
    state = next
    effects.forEach(answer)
  }
  return { state, commits, warnings, hasEnded }
}

const sitesOf = (commits: readonly Commit[]): string[] => commits.map(({ sites }) => sites.join(' '))

test('when the site with the most batches is revoked, the steps that nobody else has are passed over, in later rounds too', () => {
  const waits = play(
    startMachine(synced),
    [{ type: 'pause' }, joins('a', 4), joins('b', 2), { type: 'resume' }],
    (site, exchange) => site !== 'a' || exchange < 3,
  )
  expect(sitesOf(waits.commits)).toEqual(['a b', 'a b'])
  const { commits, warnings, hasEnded } = play(waits.state, [revoked('a')])
  expect(hasEnded).toBe(true)
  expect(sitesOf(commits)).toEqual(['', '', 'b', 'b', '', ''])
  expect(commits.map(({ round }) => round)).toEqual([3, 4, 5, 6, 7, 8])
  // What the learning rates were made for does not change in the middle.
  expect(commits.map(({ steps }) => steps)).toEqual(Array(6).fill(4))
  // The mean over round 1 is that over the steps that somebody trained: one volume of each site in each of two.
  expect(commits[1]!.trained.cases).toBe(4)
  expect(warnings).toEqual([1, 2].map((round) => `no site had batches for the last of the 4 steps of round ${round}`))
})

test('a run that was waiting for a step that nobody has goes on when it is started again', () => {
  const saved = { round: 2, base: 'base-2', steps: 4, sites: ['b'], shares: new Map([['b', 2]]) }
  const { commits, hasEnded } = play(startMachine(synced, saved), [joins('b', 2)])
  expect(hasEnded).toBe(true)
  expect(sitesOf(commits)).toEqual(['', '', 'b', 'b', '', ''])
})

test('with too few sites a step is not passed over: the one that takes the place of another may have batches for it', () => {
  const two = { ...synced, minSites: 2 }
  const { state } = play(
    startMachine(two),
    [joins('a', 4), joins('b', 2)],
    (site, exchange) => site !== 'a' || exchange < 3,
  )
  const left = play(state, [revoked('a')])
  expect(left.commits).toEqual([])
  expect(sitesOf(play(left.state, [joins('c', 3)]).commits)).toEqual(['c', '', 'b c', 'b c', 'c', ''])
  expect(sitesOf(play(left.state, [joins('c', 2)]).commits)).toEqual(['', '', 'b c', 'b c', '', ''])
})

test('a site that was revoked before the first step does not make the rounds longer', () => {
  const events = [{ type: 'pause' }, joins('a', 6), joins('b', 2), revoked('a'), { type: 'resume' }]
  const { commits } = play(startMachine(synced), events)
  expect(sitesOf(commits)).toEqual(['b', 'b', 'b', 'b'])
  expect(commits.map(({ steps }) => steps)).toEqual([2, 2, 2, 2])
})

test('a site that is lost and was not revoked is waited for in the steps that only it has', () => {
  const { state, commits } = play(
    startMachine(synced),
    [{ type: 'pause' }, joins('a', 3), joins('b', 2), { type: 'resume' }],
    (site, exchange) => site !== 'a' || exchange < 3,
  )
  expect(commits).toHaveLength(2)
  const [lost, effects] = run(state, { type: 'failed', site: 'a', session: 'session of a', reason: 'disk' })
  expect(effects.some(({ type }) => type === 'commit')).toBe(false)
  expect(effects).toContainEqual({
    type: 'tell',
    event: {
      type: 'log',
      level: 'warn',
      message: 'step 3/3 of round 1 has 0 of the 1 sites it needs and waits: a failed',
    },
  })
  expect(sitesOf(play(lost, [joins('a', 3)]).commits)).toEqual(['a', 'a b', 'a b', 'a'])
})

test('a site whose batches are through adds nothing to a step: neither by a result nor by being at work on one', () => {
  const { state } = play(
    startMachine(synced),
    [{ type: 'pause' }, joins('a', 2), joins('b', 1), { type: 'resume' }],
    (_, exchange) => exchange < 2,
  )
  const [, refused] = run(state, result('b', 2))
  expect(refused).toContainEqual(
    expect.objectContaining({ type: 'ack', status: 'rejected', reason: 'it has no batches left in this round' }),
  )
  expect(refused.some(({ type }) => type === 'journal')).toBe(false)
  const [back] = run(state, { ...joins('b', 1), working: { purpose: 'train', round: 2, base: 'base-1' } })
  expect([...back.members]).toEqual(['a'])
})
