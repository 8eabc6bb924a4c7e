import type { MeshflEvent } from '@meshfl/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { coordinatorStep } from './coordinator-machine.js'
import type { CoordinatorEffect, CoordinatorEvent, CoordinatorState } from './coordinator-state.js'
import { DICE } from './loopback.fixture.js'
import { joined, metrics, result, run, startMachine } from './machine.fixture.js'

const SITES = ['a', 'b', 'c']
const BASES = ['base-0', 'base-1', 'base-2', 'base-3', 'base-4']

interface Change {
  minSites?: number
  deadlineMs?: number | null
  round?: number
  crossSite?: boolean
  /** Of a run that has ended. */
  haveHeard?: readonly string[]
}

function start(change: Change = {}): CoordinatorState {
  const round = change.round ?? 0
  const final = change.haveHeard !== undefined
  return startMachine(
    {
      minSites: change.minSites ?? 2,
      deadlineMs: change.deadlineMs ?? null,
      crossSite: change.crossSite,
    },
    {
      round,
      base: BASES[round]!,
      recorded: final,
      final,
      sites: round === 0 ? [] : SITES,
      haveHeard: new Set(change.haveHeard),
    },
  )
}

const site = fc.constantFrom(...SITES)
const session = fc.constantFrom('s1', 's2', 's3', 's4')
const round = fc.integer({ min: 0, max: 5 })
const base = fc.constantFrom(...BASES)
const working = fc.option(fc.record({ purpose: fc.constantFrom('train' as const, 'evaluate' as const), round, base }))
const type = <T extends string>(value: T) => fc.constant(value)
const update = fc.constantFrom('u1', 'u2')

/** Any event whatever, sensible or not. */
const anyEvent = fc.oneof(
  fc.record({ type: type('joined'), site, session, working }),
  fc.record({ type: type('disconnected'), session }),
  fc.record({ type: type('heard'), site, session, working }),
  fc.record({
    type: type('heard'),
    site,
    session,
    working,
    step: fc.record({ step: fc.nat(9), seconds: fc.nat(9) }),
  }),
  fc.record({
    type: type('result'),
    site,
    session,
    round,
    base,
    update,
    samples: fc.integer({ min: 0, max: 9 }),
    metrics: fc.constant(metrics),
  }),
  fc.record({
    type: type('evaluation'),
    site,
    session,
    round,
    base,
    metrics: fc.record({ site, weight: fc.nat(3), loss: fc.constant(null), dice: fc.constant(DICE) }),
  }),
  fc.record({
    type: type('refused'),
    site,
    session,
    purpose: fc.constantFrom('train' as const, 'evaluate' as const),
    round,
    base,
    reason: fc.constant('x'),
  }),
  fc.record({ type: type('journaled'), site, round, update }),
  fc.record({ type: type('committed'), round, result: base }),
  fc.record({ type: type('recorded'), round }),
  fc.record({ type: type('bye'), site, session, reason: fc.constant('x') }),
  fc.record({ type: type('failed'), site, session, reason: fc.constant('x') }),
  fc.record({ type: type('tick') }),
  fc.record({ type: fc.constantFrom('pause' as const, 'resume' as const) }),
)

test('whatever comes in whatever order, it never throws, never goes back and never counts a site twice', () => {
  const steps = fc.array(fc.tuple(anyEvent, fc.nat(200)), { maxLength: 80 })
  const config = fc.record({
    minSites: fc.integer({ min: 1, max: 3 }),
    deadlineMs: fc.option(fc.nat(300)),
    round: fc.nat(3),
  })
  fc.assert(
    fc.property(config, steps, (change, events) => {
      let state = start(change)
      let at = 0
      const committed = new Set<number>()
      for (const [event, wait] of events) {
        at += wait
        const before = structuredClone(state)
        const { state: next, effects } = coordinatorStep(state, { ...event, at } as CoordinatorEvent)
        expect(state).toEqual(before) // the old state is left as it was
        expect(next.round).toBeGreaterThanOrEqual(state.round)
        for (const effect of effects) {
          if (effect.type !== 'commit') continue
          expect(effect.round).toBe(next.round + 1)
          expect(committed.has(effect.round)).toBe(false)
          committed.add(effect.round)
          expect(new Set(effect.sites).size).toBe(effect.sites.length)
          expect(effect.sites.length).toBeGreaterThanOrEqual(change.minSites)
          for (const name of effect.sites) expect(next.results.has(name)).toBe(true)
          expect(effect.leftOut.some((left) => effect.sites.includes(left.site))).toBe(false)
        }
        state = next
      }
    }),
    { numRuns: 300 },
  )
})

/** A world that carries the effects out, with loss, doubling and restarts of sites as a seed says. */
test('with every message possibly lost or doubled, all rounds still end, each site counted once, compared or not', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 3 }),
      fc.boolean(),
      fc.infiniteStream(fc.nat(99)),
      (minSites, crossSite, chance) => {
        const draw = (): number => chance.next().value as number
        let state = start({ minSites, crossSite })
        let tables = 0
        let at = 0
        let sessions = 0
        const open = new Map<string, string>()
        const queue: CoordinatorEvent[] = []
        const commits: string[][] = []
        let isFinished = false
        const push = (event: Record<string, unknown>): void => void queue.push({ ...event, at } as CoordinatorEvent)
        const carryOut = (effect: CoordinatorEffect): void => {
          if (effect.type === 'journal') push({ ...effect, type: 'journaled' })
          else if (effect.type === 'compare') push({ type: 'compared' })
          else if (effect.type === 'tell') tables += Number(effect.event.type === 'cross-site')
          else if (effect.type === 'commit') {
            commits.push(effect.sites)
            push({ type: 'committed', round: effect.round, result: BASES[effect.round] })
          } else if (effect.type === 'record') push({ type: 'recorded', round: effect.round })
          else if (effect.type === 'finish') isFinished = true
          else if (effect.type === 'drop') open.delete(effect.session)
          else if (effect.type === 'task' || effect.type === 'done') {
            const name = open.get(effect.session)
            if (!name || draw() < 20) return
            const times = draw() < 20 ? 2 : 1
            for (let i = 0; i < times; i++) {
              if (effect.type === 'done') push({ type: 'bye', site: name, session: effect.session, reason: 'done' })
              else if (effect.purpose === 'train')
                push({ ...effect, type: 'result', site: name, update: `${name} ${effect.round}`, samples: 1, metrics })
              else
                push({
                  ...effect,
                  type: 'evaluation',
                  site: name,
                  metrics: { site: name, weight: 1, loss: 1, dice: DICE },
                })
            }
          }
        }
        for (let turn = 0; turn < 3000 && !isFinished; turn++) {
          at += 5
          for (const name of SITES) {
            const current = state.sites.get(name)?.session
            if (current && open.has(current)) {
              if (draw() < 3) {
                open.delete(current)
                push({ type: 'disconnected', session: current })
              } else push({ type: 'heard', site: name, session: current, working: null })
            } else if (draw() < 30 && state.sites.get(name)?.reach !== 'done') {
              sessions += 1
              open.set(`s${sessions}`, name)
              push({ type: 'joined', site: name, session: `s${sessions}`, working: null })
            }
          }
          if (draw() < 3) push({ type: 'compare-asked' })
          push({ type: 'tick' })
          while (queue.length > 0) {
            const step = coordinatorStep(state, { ...queue.shift()!, at })
            state = step.state
            step.effects.forEach(carryOut)
          }
        }
        expect(isFinished).toBe(true)
        expect(commits).toHaveLength(4)
        if (crossSite) expect(tables).toBeGreaterThanOrEqual(1)
        else expect(tables).toBe(0)
        for (const names of commits) {
          expect(new Set(names).size).toBe(names.length)
          expect(names.length).toBeGreaterThanOrEqual(minSites)
        }
      },
    ),
    { numRuns: 40 },
  )
})

test('a result is acknowledged when it is on disk, not before', () => {
  const [state, effects] = run(start(), joined('a'), joined('b'), result('a'))
  expect(effects.some(({ type }) => type === 'ack')).toBe(false)
  const [, later] = run(state, { type: 'journaled', site: 'a', round: 1, update: 'update of a' })
  expect(later).toContainEqual(expect.objectContaining({ type: 'ack', status: 'accepted', session: 'session of a' }))
})

test('the last result of a round is acknowledged by the commit, and not written twice', () => {
  const [state, effects] = run(start(), joined('a'), joined('b'), result('a'), result('b'))
  expect(effects.flatMap((effect) => (effect.type === 'journal' ? [effect.site] : []))).toEqual(['a'])
  expect(effects.some(({ type }) => type === 'commit')).toBe(true)
  expect(effects.some(({ type }) => type === 'ack')).toBe(false)
  const late = { type: 'journaled', site: 'a', round: 1, update: 'update of a' }
  const [, later] = run(state, { type: 'committed', round: 1, result: 'base-1' }, late)
  const acks = later.flatMap((effect) => (effect.type === 'ack' ? [effect] : []))
  expect(acks).toMatchObject([
    { session: 'session of a', round: 1, base: 'base-0', status: 'accepted' },
    { session: 'session of b', round: 1, base: 'base-0', status: 'accepted' },
  ])
})

test('a newcomer waits for the next round, one that is at work on this one is back in it', () => {
  const [state] = run(start(), joined('a'), joined('b'))
  const [, waits] = run(state, joined('c'))
  expect(waits.some(({ type }) => type === 'task')).toBe(false)
  const working = { purpose: 'train', round: 1, base: 'base-0' }
  const [, isBack] = run(state, { ...joined('c'), working })
  expect(isBack).toContainEqual(expect.objectContaining({ type: 'task', session: 'session of c', round: 1 }))
})

test('when too few are left in a round, whoever waits comes in', () => {
  const [state] = run(start(), joined('a'), joined('b'), joined('c'))
  const [, effects] = run(state, { type: 'failed', site: 'b', session: 'session of b', reason: 'disk' })
  expect(effects).toContainEqual(expect.objectContaining({ type: 'task', session: 'session of c', round: 1 }))
})

/** Two sites at work on round 1, of which the round needs so many. */
function twoAtWork(minSites: number): CoordinatorState {
  const [state] = run(start(), joined('a'), joined('b'))
  return { ...state, config: { ...state.config, minSites } }
}

const refused = (name: string, purpose: 'train' | 'evaluate' = 'train', round = 1, base = 'base-0') => ({
  ...{ type: 'refused', site: name, session: `session of ${name}` },
  ...{ purpose, round, base, reason: 'float 7 is NaN' },
})

test('a round does not wait for a site whose update was refused', () => {
  const [state, effects] = run(twoAtWork(1), refused('b'))
  const ack = { type: 'ack', session: 'session of b', status: 'rejected', reason: 'float 7 is NaN' }
  expect(effects).toContainEqual(expect.objectContaining(ack))
  const waiting = 'what it gave was refused: float 7 is NaN'
  const event = expect.objectContaining({ type: 'site-state', site: 'b', state: 'waiting', reason: waiting })
  expect(effects).toContainEqual({ type: 'tell', event })
  const [next, closed] = run(state, result('a'), { type: 'committed', round: 1, result: 'base-1' })
  const leftOut = [{ site: 'b', reason: 'refused' }]
  expect(closed).toContainEqual(expect.objectContaining({ type: 'commit', sites: ['a'], leftOut }))
  // The model is another one now, and so is what the site makes of it.
  expect(closed).toContainEqual(
    expect.objectContaining({ type: 'task', purpose: 'evaluate', session: 'session of b', base: 'base-1' }),
  )
  expect(next.refused.size).toBe(0)
})

test('an evaluation does not wait for a site whose scores were refused', () => {
  const evaluation = { type: 'evaluation', site: 'a', session: 'session of a', round: 1, base: 'base-1' }
  const [, effects] = run(
    twoAtWork(1),
    ...[result('a'), result('b'), { type: 'committed', round: 1, result: 'base-1' }],
    ...[refused('b', 'evaluate', 1, 'base-1')],
    { ...evaluation, metrics: { site: 'a', weight: 1, loss: null, dice: DICE } },
  )
  expect(effects).toContainEqual(expect.objectContaining({ type: 'record', round: 1 }))
})

test('a round that needs the site whose update was refused says so, sends it the task no more, and takes what a new login gives', () => {
  const [state, effects] = run(twoAtWork(2), refused('b'), result('a'))
  expect(effects.some(({ type }) => type === 'commit')).toBe(false)
  const words = 'round 1 has 1 of the 2 sites it needs and waits: b refused'
  expect(effects).toContainEqual({ type: 'tell', event: { type: 'log', level: 'warn', message: words } })
  const idle = { type: 'heard', site: 'b', session: 'session of b', working: null, at: 1000 }
  const [, later] = run(state, idle, { type: 'tick', at: 1000 })
  expect(later.some(({ type }) => type === 'task')).toBe(false)
  const [, again] = run(state, { ...joined('b'), session: 'another' }, { ...result('b'), session: 'another' })
  expect(again).toContainEqual(expect.objectContaining({ type: 'task', session: 'another', round: 1 }))
  expect(again).toContainEqual(expect.objectContaining({ type: 'commit', sites: ['a', 'b'], leftOut: [] }))
})

test('an answer that is refused takes nothing back: not one that was taken, nor one of another round or login', () => {
  const [, effects] = run(
    twoAtWork(1),
    ...[refused('b', 'train', 2), refused('b', 'train', 1, 'base-1'), refused('b', 'evaluate')],
    { ...refused('b'), session: 'an older one' },
    ...[result('a'), refused('a'), result('b')],
  )
  expect(effects).toContainEqual(expect.objectContaining({ type: 'commit', sites: ['a', 'b'], leftOut: [] }))
})

/** Two sites at work on round 1 from time 0; pings of both, steps of each as its function says, until a time. */
function train(
  stepAt: Record<'a' | 'b', (at: number) => { step: number; seconds: number } | undefined>,
  untilMs: number,
  minSites = 2,
): [CoordinatorState, (MeshflEvent & { at: number })[]] {
  let state = twoAtWork(minSites)
  const told: (MeshflEvent & { at: number })[] = []
  const working = { purpose: 'train', round: 1, base: 'base-0' } as const
  const feed = (event: CoordinatorEvent): void => {
    const next = coordinatorStep(state, event)
    state = next.state
    for (const effect of next.effects) {
      if (effect.type === 'tell') told.push({ ...effect.event, time: '', at: event.at } as MeshflEvent & { at: number })
    }
  }
  for (let at = 0; at <= untilMs; at += 100) {
    for (const name of ['a', 'b'] as const) {
      const step = stepAt[name](at)
      const told = step ? { step: { steps: 10_000, loss: 1, learningRate: 0.1, ...step } } : {}
      feed({ at, type: 'heard', site: name, session: `session of ${name}`, working, ...told })
    }
    feed({ at, type: 'tick' })
  }
  return [state, told]
}

const everyTenth = (at: number) => ({ step: Math.floor(at / 100), seconds: 0.1 })
const reasons = (told: MeshflEvent[]): string[] =>
  told.flatMap((event) =>
    event.type === 'site-state' && event.state === 'lost' ? [`${event.site} ${event.reason}`] : [],
  )

test('a site that pings and whose trainer hangs is lost after twenty of its own steps, and the others go on', () => {
  const hung = (at: number) => everyTenth(Math.min(at, 5000))
  const [state, told] = train({ a: everyTenth, b: hung }, 8000, 1)
  expect(reasons(told)).toEqual(['b no progress since step 50 for 2 s, though it answers'])
  expect(told.find((event) => event.type === 'site-state' && event.state === 'lost')!.at).toBe(7000)
  const [, effects] = run(state, result('a'), { type: 'journaled', site: 'a', round: 1, update: 'update of a' })
  expect(effects).toContainEqual(
    expect.objectContaining({ type: 'commit', sites: ['a'], leftOut: [{ site: 'b', reason: 'lost' }] }),
  )
})

test('a step is told once, of the round in progress and of one that has so many', () => {
  const [, told] = train({ a: everyTenth, b: () => ({ step: 3, seconds: 1 }) }, 1000)
  const steps = told.flatMap((event) => (event.type === 'step' ? [`${event.site} ${event.step}`] : []))
  expect(steps.filter((step) => step.startsWith('a'))).toHaveLength(10)
  expect(steps.filter((step) => step.startsWith('b'))).toEqual(['b 3'])
  const [state] = run(start(), joined('a'), joined('b'))
  const step = { step: 1, steps: 4, loss: 1, learningRate: 0.1, seconds: 1 }
  const working = { purpose: 'train', round: 1, base: 'base-0' }
  const ping = { type: 'heard', site: 'a', session: 'session of a', working, step }
  for (const odd of [
    { ...ping, working: { ...working, base: 'base-7' } },
    { ...ping, working: null },
    { ...ping, step: { ...step, step: 5 } },
  ]) {
    const [, effects] = run(state, odd)
    expect(effects.some((effect) => effect.type === 'tell' && effect.event.type === 'step')).toBe(false)
  }
})

test('a site is waited for as long as its step advances, however slowly', () => {
  const slow = (at: number) => ({ step: Math.floor(at / 15_000), seconds: 15 })
  const [state, told] = train({ a: everyTenth, b: slow }, 200_000)
  expect(reasons(told)).toEqual([])
  expect(state.sites.get('b')!.reach).toBe('online')
})

test('a site whose steps nobody knows yet has longer, but not for ever', () => {
  const [, told] = train({ a: everyTenth, b: () => undefined }, 21_000)
  expect(reasons(told)).toEqual(['b no progress for 20 s, though it answers'])
})

test('a site that went on after all is back, and one that hangs is not brought back by a new connection', () => {
  const late = (at: number) => everyTenth(at < 5000 ? at : at < 9000 ? 5000 : at - 4000)
  const [state, told] = train({ a: everyTenth, b: late }, 9500)
  expect(reasons(told)).toHaveLength(1)
  expect(state.sites.get('b')!.reach).toBe('online')

  const [hung] = train({ a: everyTenth, b: () => everyTenth(0) }, 21_000)
  expect(hung.sites.get('b')!.reach).toBe('lost')
  const working = { purpose: 'train', round: 1, base: 'base-0' }
  const [reconnected] = run(hung, { ...joined('b'), at: 21_100, session: 'new', working })
  expect(reconnected.sites.get('b')!.reach).toBe('lost')
  const [restarted, effects] = run(hung, { ...joined('b'), at: 21_100, session: 'new' })
  expect(restarted.sites.get('b')!.reach).toBe('online')
  expect(effects).toContainEqual(expect.objectContaining({ type: 'task', session: 'new' }))
})

test('waiting for the first sites is told, not warned of; a running federation that falls below its quorum warns', () => {
  const logs = (effects: CoordinatorEffect[]): string[] =>
    effects.flatMap((effect) =>
      effect.type === 'tell' && effect.event.type === 'log' ? [`${effect.event.level}: ${effect.event.message}`] : [],
    )
  const [state, effects] = run(start(), { type: 'tick' }, { type: 'tick' }, joined('a'), { type: 'tick' })
  expect(logs(effects)).toEqual(['info: round 1 waits for 2 of 2 sites', 'info: round 1 waits for 1 of 2 sites'])
  const leaves = { type: 'bye', site: 'b', session: 'session of b', reason: 'stopped by its operator' }
  const [, later] = run(state, joined('b'), leaves, result('a'), {
    type: 'journaled',
    site: 'a',
    round: 1,
    update: 'update of a',
  })
  expect(logs(later)).toEqual(['warn: round 1 has 1 of the 2 sites it needs and waits: b left'])
})

test('a finished run that is started again ends at once where every site has heard, and waits for one that has not until its lease ends', () => {
  const tick = (at: number) => ({ type: 'tick', at }) as const
  const ends = (state: CoordinatorState, at: number): boolean =>
    coordinatorStep(state, tick(at)).effects.some((effect) => effect.type === 'finish')
  expect(ends(start({ round: 4, haveHeard: SITES }), 1)).toBe(true)
  const waiting = start({ round: 4, haveHeard: SITES.slice(1) })
  expect(ends(waiting, 599)).toBe(false)
  expect(ends(waiting, 601)).toBe(true)
})

test('a finished run that is started again names, once, who is waited for', () => {
  const tick = (at: number) => ({ type: 'tick', at }) as const
  let state = start({ round: 4, haveHeard: ['b'] })
  const told: string[] = []
  for (const at of [1, 25, 30, 250]) {
    const next = coordinatorStep(state, tick(at))
    state = next.state
    for (const effect of next.effects)
      if (effect.type === 'tell' && effect.event.type === 'log')
        told.push(`${effect.event.level}: ${effect.event.message}`)
  }
  expect(told).toEqual(['info: the run has ended; for 1 s it waits for who has not heard of that: a, c'])
})
