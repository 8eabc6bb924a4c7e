import type { Dice, MeshflEvent, SiteState } from '@meshfl/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { drawFrame, frameLines, type Interaction } from './frame.js'
import { ASCII, createPaint, UNICODE } from './palette.js'
import { displayWidth } from './text.js'
import { initialView, reduceView } from './view-state.js'

const time = '2026-01-02T03:04:05.000Z'
const odd = fc.oneof(fc.double(), fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, 0, -1, 1e300, 0.5))
const whole = fc.integer({ min: -1, max: 2000 })
const text = fc.oneof(
  fc.constantFrom('site-1', 'site-2', 'site-10', ''),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.constantFrom('\u001b[2J\u001b[1;1Hgone', 'two\nlines', '脳の部位', '🧠🧠🧠', `long ${'x'.repeat(300)}`),
)
const state = fc.constantFrom<SiteState[]>(
  ...(['joining', 'online', 'training', 'evaluating', 'waiting', 'suspect', 'lost', 'left', 'done', 'failed'] as const),
)
const maybe = fc.option(odd, { nil: null })
const dice: fc.Arbitrary<Dice> = fc.record({ perClass: fc.constant({}), foregroundDice: maybe })
const site = { time: fc.constant(time), site: text, round: whole }
const is = <T extends string>(type: T) => fc.constant(type)

export const anyEvent: fc.Arbitrary<MeshflEvent> = fc.oneof(
  fc.record({
    type: is('run-started'),
    time: fc.constant(time),
    command: text,
    run: text,
    rounds: whole,
    sites: whole,
    engine: text,
    device: text,
    path: text,
  }),
  fc.record({ type: is('site-state'), ...site, state, reason: text }),
  fc.record({ type: is('round-started'), time: fc.constant(time), round: whole, rounds: whole, sites: fc.array(text) }),
  fc.record({ type: is('step'), ...site, step: whole, steps: whole, loss: odd }),
  fc.record({
    type: is('site-trained'),
    ...site,
    loss: fc.oneof(odd, fc.constant(null)),
    dice,
    samples: whole,
    seconds: odd,
    updateSha256: text,
  }),
  fc.record({ type: is('site-evaluated'), ...site, loss: maybe, dice, cases: whole }),
  fc.record({
    type: is('update-applied'),
    time: fc.constant(time),
    round: whole,
    parametersSha256: text,
    sites: fc.array(text),
    leftOut: fc.array(fc.record({ site: text, reason: text })),
  }),
  fc.record({
    type: is('round-finished'),
    time: fc.constant(time),
    round: whole,
    rounds: whole,
    trainLoss: maybe,
    trainDice: fc.option(dice, { nil: null }),
    validLoss: maybe,
    validDice: fc.option(dice, { nil: null }),
    parametersSha256: text,
    seconds: odd,
    secondsLeft: maybe,
  }),
  fc.record({ type: is('best'), time: fc.constant(time), round: whole, foregroundDice: odd }),
  fc.record({ type: is('traffic'), time: fc.constant(time), site: text, bytesSent: odd, bytesReceived: odd }),
  fc.record({
    type: is('log'),
    time: fc.constant(time),
    level: fc.constantFrom('debug' as const, 'info' as const, 'warn' as const, 'error' as const),
    message: text,
  }),
  fc.record({ type: is('progress'), time: fc.constant(time), task: text, done: odd, total: odd, unit: text }),
  fc.record({ type: is('invite'), invite: text }),
  fc.record({
    type: is('done'),
    rounds: whole,
    parametersSha256: text,
    best: fc.option(fc.record({ round: whole, foregroundDice: odd }), { nil: null }),
    path: text,
  }),
  fc.record({ type: is('error'), code: text, message: text }),
)

const anyInteraction: fc.Arbitrary<Interaction> = fc.record({
  panel: fc.constantFrom('run' as const, 'log' as const, 'help' as const),
  keys: fc.boolean(),
  canPause: fc.boolean(),
  paused: fc.boolean(),
  quitting: fc.boolean(),
  question: fc.option(fc.string({ maxLength: 200 }), { nil: null }),
  final: fc.boolean(),
})

test('whatever events come in whatever order, the frame fits any terminal and shows no NaN and no control character', () => {
  fc.assert(
    fc.property(
      fc.array(anyEvent, { maxLength: 40 }),
      fc.integer({ min: 20, max: 200 }),
      fc.integer({ min: 4, max: 60 }),
      anyInteraction,
      fc.boolean(),
      (events, columns, rows, interaction, unicode) => {
        let view = initialView(0)
        events.forEach((event, index) => {
          view = reduceView(view, event, index * 700)
        })
        const lines = frameLines(
          drawFrame(view, {
            title: 'meshfl serve',
            columns,
            rows,
            nowMs: events.length * 700,
            paint: createPaint(false),
            glyphs: unicode ? UNICODE : ASCII,
            interaction,
          }),
        )
        expect(lines.length).toBeLessThan(rows)
        for (const line of lines) {
          expect(displayWidth(line)).toBeLessThanOrEqual(columns)
          expect(line).not.toMatch(/NaN|Infinity|undefined|null\b/)
          expect(line).not.toMatch(/\p{Cc}/u)
        }
      },
    ),
    { numRuns: 300 },
  )
})

test('colours change nothing but colours', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 20 }), (events) => {
      const view = events.reduce((before, event) => reduceView(before, event, 1000), initialView(0))
      const draw = (color: boolean) =>
        frameLines(
          drawFrame(view, {
            title: 'meshfl serve',
            columns: 80,
            rows: 24,
            nowMs: 2000,
            paint: createPaint(color),
            glyphs: UNICODE,
            interaction: RUNNING,
          }),
        )
      const colours = new RegExp(`${'\u001b'}\\[[0-9;]*m`, 'g')
      expect(draw(true).map((line) => line.replace(colours, ''))).toEqual(draw(false))
    }),
    { numRuns: 50 },
  )
})

const RUNNING: Interaction = {
  panel: 'run',
  keys: true,
  canPause: true,
  paused: false,
  quitting: false,
  question: null,
  final: false,
}

test('sites stand in the natural order of their names', () => {
  let view = initialView(0)
  for (const name of ['site-10', 'site-2', 'site-1']) {
    view = reduceView(view, { type: 'site-state', time, site: name, state: 'online' }, 1)
  }
  expect(view.sites.map(({ name }) => name)).toEqual(['site-1', 'site-2', 'site-10'])
})

test('a site that goes silent keeps the time when it was last heard of', () => {
  let view = reduceView(initialView(0), { type: 'site-state', time, site: 'a', state: 'online' }, 1000)
  view = reduceView(view, { type: 'site-state', time, site: 'a', state: 'suspect', reason: 'no heartbeat' }, 9000)
  expect(view.sites[0]).toMatchObject({ state: 'suspect', reason: 'no heartbeat', lastSeenMs: 1000 })
})

test('a round that a resumed run does again replaces its point and those after it', () => {
  const finished = (round: number, loss: number): MeshflEvent => ({
    type: 'round-finished',
    time,
    round,
    rounds: 9,
    trainLoss: loss,
    trainDice: null,
    validLoss: null,
    validDice: null,
    parametersSha256: 'x',
    seconds: 1,
    secondsLeft: null,
  })
  let view = initialView(0)
  for (const event of [finished(1, 3), finished(2, 2), finished(3, 1), finished(2, 2.5)])
    view = reduceView(view, event, 1)
  expect(view.history.map(({ round, trainLoss }) => [round, trainLoss])).toEqual([
    [1, 3],
    [2, 2.5],
  ])
})

test('the log keeps the last 500 lines', () => {
  let view = initialView(0)
  for (let line = 0; line < 700; line++) {
    view = reduceView(view, { type: 'log', time, level: 'info', message: `line ${line}` }, line)
  }
  expect(view.log).toHaveLength(500)
  expect(view.log.at(-1)?.text).toBe('line 699')
})
