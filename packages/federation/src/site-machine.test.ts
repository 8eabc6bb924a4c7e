import fc from 'fast-check'
import { expect, test } from 'vitest'
import { through } from './machine.fixture.js'
import { type SiteEffect, type SiteEvent, type SiteMachineState, siteStartState, siteStep } from './site-machine.js'

const CONFIG = { pingMs: 50, progressMs: 5, resendMs: 20 }
const round = fc.integer({ min: 1, max: 4 })
const base = fc.constantFrom('x', 'y')
const purpose = fc.constantFrom('train' as const, 'evaluate' as const)
const work = fc.record({ purpose, round, base })
const type = <T extends string>(value: T) => fc.constant(value)
const anyEvent = fc.oneof(
  fc.record({ type: fc.constantFrom('joined' as const, 'lost' as const, 'tick' as const, 'progress' as const) }),
  fc.record({
    type: type('task'),
    task: fc.record({ purpose, round, base }),
  }),
  fc.record({ type: fc.constantFrom('worked' as const, 'saved' as const, 'aborted' as const), work }),
  fc.record({
    type: type('ack'),
    work,
    status: fc.constantFrom('accepted' as const, 'duplicate' as const, 'stale' as const, 'rejected' as const),
    reason: fc.constant(undefined),
  }),
)

test('whatever comes in whatever order, it never throws, does one thing at a time and sends nothing before it is on disk', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(anyEvent, fc.nat(30)), { maxLength: 80 }), (events) => {
      let state = siteStartState(CONFIG, null)
      let at = 0
      let running = 0
      for (const [event, wait] of events) {
        at += wait
        const before = structuredClone(state)
        const { state: next, effects } = siteStep(state, { ...event, at } as SiteEvent)
        expect(state).toEqual(before)
        if (state.work?.stage === 'running' && next.work !== state.work) running -= 1
        for (const effect of effects) {
          if (effect.type === 'start') running += 1
          if (effect.type === 'send-result' && effect.work.purpose === 'train')
            expect(next.trained).toMatchObject({ round: effect.work.round, base: effect.work.base })
        }
        expect(running).toBeGreaterThanOrEqual(0)
        expect(running).toBeLessThanOrEqual(1)
        state = next
      }
    }),
    { numRuns: 500 },
  )
})

const run = through<SiteMachineState, SiteEvent, SiteEffect>(siteStep)

const task = { purpose: 'train', round: 2, base: 'x' } as const
const done = { purpose: 'train', round: 2, base: 'x' } as const

test('a round that is on disk is sent again, not trained again', () => {
  const [, effects] = run(siteStartState(CONFIG, { round: 2, base: 'x' }), { type: 'joined' }, { type: 'task', task })
  expect(effects.map(({ type }) => type)).toEqual(['send-result', 'send-result'])
})

test('a result is sent again until it is answered', () => {
  const [state] = run(siteStartState(CONFIG, { round: 2, base: 'x' }), { type: 'joined' })
  const [, again] = run(state, { type: 'tick', at: 25 })
  expect(again).toContainEqual({ type: 'send-result', work: done })
  const [, quiet] = run(state, { type: 'ack', work: done, status: 'accepted' }, { type: 'tick', at: 25 })
  expect(quiet).toEqual([])
})

test('a task of a later phase stops the work of an earlier one', () => {
  const evaluate = { ...task, purpose: 'evaluate', base: 'y' } as const
  const [state, effects] = run(
    siteStartState(CONFIG, null),
    { type: 'joined' },
    { type: 'task', task },
    { type: 'task', task: evaluate },
  )
  expect(effects.map(({ type }) => type)).toEqual(['start', 'abort'])
  const [, next] = run(state, { type: 'aborted', work: done })
  expect(next).toEqual([{ type: 'start', task: evaluate }])
})

test('progress is told at a tick, at most once in its time, and not where the result comes first', () => {
  const [working] = run(siteStartState(CONFIG, null), { type: 'joined' }, { type: 'task', task })
  const [busy, first] = run(working, { type: 'progress', at: 6 }, { type: 'tick', at: 7 })
  expect(first).toEqual([{ type: 'ping', working: done }])
  const [, second] = run(busy, { type: 'progress', at: 8 }, { type: 'tick', at: 9 }, { type: 'tick', at: 12 })
  expect(second).toEqual([{ type: 'ping', working: done }])
  const [, none] = run(
    working,
    { type: 'progress', at: 6 },
    { type: 'worked', work: done, at: 6 },
    { type: 'tick', at: 7 },
  )
  expect(none).toEqual([{ type: 'save', work: done }])
})
