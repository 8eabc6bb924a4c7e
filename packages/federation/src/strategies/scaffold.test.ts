import type { ModelLayout, ModelState } from '@meshfl/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Contribution } from '../aggregate.js'
import { scaffold } from './scaffold.js'
import { readScaffoldState } from './scaffold-state.js'
import { encodeServerState } from './server-state.js'
import type { RoundInput } from './strategy.js'

/** One parameter and no statistics: what a site minimises is a/2 (w - t)^2. */
const LAYOUT: ModelLayout = {
  parameters: [{ name: 'w', shape: [1], offset: 0 }],
  statistics: [],
  parameterCount: 1,
  statisticCount: 0,
  sha256: '',
}
const STEPS = 5
const LEARNING_RATE = 0.1
/** The model is float32, and so is what it converges along: 6e-8 at 1. */
const TOLERANCE = 1e-5

interface Quadratic {
  a: number
  t: number
  samples: number
}

const SITES: Record<string, Quadratic> = {
  a: { a: 1, t: 0, samples: 2 },
  b: { a: 3, t: 2, samples: 1 },
  c: { a: 2, t: 5, samples: 4 },
}

/** Where the gradients of these sites' losses, weighted by their volumes, add up to 0. */
function optimum(names: string): number {
  const sites = [...names].map((name) => SITES[name]!)
  const weight = sites.reduce((sum, { a, samples }) => sum + samples * a, 0)
  return sites.reduce((sum, { a, t, samples }) => sum + samples * a * t, 0) / weight
}

/** What happens in a round: who is approved, and whose updates do not count although the site has trained. */
interface Round {
  approved: string
  lost?: string
}

interface Run {
  model: ModelState
  state: Uint8Array | null
  /** What each site keeps of itself: its c_i moves on with every round that it trains in. */
  own: Map<string, number>
}

function begin(): Run {
  return { model: { parameters: new Float32Array(1), statistics: new Float32Array() }, state: null, own: new Map() }
}

/** A site's round as the local rule has it: steps along g - c_i + c; the new c_i is the mean of g. */
function train(site: string, { model, own }: Run, control: number): Contribution {
  const { a, t, samples } = SITES[site]!
  let w = model.parameters[0]!
  let sum = 0
  for (let step = 0; step < STEPS; step++) {
    const gradient = a * (w - t)
    sum += gradient
    w -= LEARNING_RATE * (gradient - (own.get(site) ?? 0) + control)
  }
  const next = Math.fround(sum / STEPS)
  own.set(site, next)
  return {
    site,
    samples,
    model: { parameters: Float32Array.of(w), statistics: new Float32Array() },
    vector: Float32Array.of(next),
  }
}

function play(rounds: readonly Round[], run = begin()): Run {
  for (const { approved, lost = '' } of rounds) {
    const [control] = scaffold.taskVector!(run.state, LAYOUT)
    const trained = [...approved].map((site) => train(site, run, control!))
    const contributions = trained.filter(({ site }) => !lost.includes(site))
    if (contributions.length === 0) continue
    run = { ...run, ...scaffold.combine(input(run, approved, contributions)) }
  }
  return run
}

function input({ model, state }: Run, approved: string, contributions: Contribution[]): RoundInput {
  return {
    ...{ layout: LAYOUT, base: model, contributions, state, batchNorm: 'pooled', options: {} },
    population: [...approved].map((site) => ({ site, samples: SITES[site]!.samples })),
  }
}

function times(count: number, round: Round): Round[] {
  return Array.from({ length: count }, () => round)
}

describe('sites with different data', () => {
  test.each<[string, Round[], string]>([
    ['in every round', times(100, { approved: 'ab' }), 'ab'],
    [
      'where one update did not count',
      [...times(2, { approved: 'ab' }), { approved: 'ab', lost: 'b' }, ...times(100, { approved: 'ab' })],
      'ab',
    ],
    ['where a site came later', [...times(2, { approved: 'ab' }), ...times(100, { approved: 'abc' })], 'abc'],
    ['where a site was revoked', [...times(10, { approved: 'abc' }), ...times(100, { approved: 'ac' })], 'ac'],
  ])('come to the optimum of all: %s', (_, rounds, names) => {
    expect(Math.abs(play(rounds).model.parameters[0]! - optimum(names))).toBeLessThan(TOLERANCE)
  })

  test('come to the optimum whatever was lost, and whoever came and went', () => {
    const some = fc.subarray(['a', 'b', 'c']).map((names) => names.join(''))
    const round = fc.record({ approved: some, lost: some })
    fc.assert(
      fc.property(fc.array(round, { maxLength: 20 }), (rounds) => {
        const { model } = play([...rounds, ...times(100, { approved: 'abc' })])
        expect(Math.abs(model.parameters[0]! - optimum('abc'))).toBeLessThan(TOLERANCE)
      }),
    )
  })

  test('need not be in every round: a tenth of the updates lost at random changes nothing of where they come to', () => {
    const rounds = Array.from({ length: 300 }, (_, i) => ({ approved: 'abc', lost: 'abc'[(7 * i) % 10] ?? '' }))
    expect(Math.abs(play(rounds).model.parameters[0]! - optimum('abc'))).toBeLessThan(TOLERANCE)
  })
})

test('c is the mean of what is known of the sites of now, weighted by volumes, with 0 for those who never took part', () => {
  const update = (site: string, control: number, samples = SITES[site]!.samples): Contribution => ({
    ...{ site, samples, model: begin().model, vector: Float32Array.of(control) },
  })
  let run = begin()
  const next = (approved: string, ...contributions: Contribution[]): number => {
    run = { ...run, ...scaffold.combine(input(run, approved, contributions)) }
    return scaffold.taskVector!(run.state, LAYOUT)[0]!
  }
  expect(next('ab', update('a', 3))).toBe((2 * 3) / 3)
  expect(next('ab', update('b', 9))).toBe((2 * 3 + 9) / 3)
  expect(next('abc', update('b', 6))).toBeCloseTo((2 * 3 + 6) / 7, 6)
  // Of an update of fewer volumes than its site was approved with, the weight is that in the model.
  expect(next('abc', update('c', 7, 3))).toBeCloseTo((2 * 3 + 6 + 3 * 7) / 6, 6)
  expect(next('bc', update('b', 6))).toBeCloseTo((6 + 3 * 7) / 4, 6)
  // One that was revoked while its round closed is in the model of that round and not in c.
  expect(next('b', update('b', 6), update('c', 8))).toBe(6)
  expect(readScaffoldState(run.state, 1).sites.map(({ site }) => site)).toEqual(['b'])
  expect(next('ab', update('b', 6))).toBe(6 / 3)
})

test('a restart changes no bit, wherever in memory the state was read to', () => {
  const rounds = [...times(4, { approved: 'abc' }), { approved: 'abc', lost: 'c' }, ...times(4, { approved: 'ab' })]
  const undisturbed = play(rounds)
  for (let at = 0; at < rounds.length; at++) {
    const before = play(rounds.slice(0, at))
    const read = before.state && new Uint8Array(before.state.length + 3).subarray(3)
    if (read) read.set(before.state!)
    const { model, state } = play(rounds.slice(at), { ...before, state: read })
    expect({ model, state }).toEqual({ model: undisturbed.model, state: undisturbed.state })
  }
})

test('the commit of an earlier version, which has c alone, and that of another model are refused in words', () => {
  const read = (state: Uint8Array | null, length: number) => () =>
    scaffold.taskVector!(state, { ...LAYOUT, parameterCount: length })
  const earlier = encodeServerState({ c: new Float64Array(1) })
  expect(read(earlier, 1)).toThrow(expect.objectContaining({ code: 'COMMIT_INVALID' }))
  expect(read(earlier, 1)).toThrow('no control variate of each site')
  expect(read(play(times(1, { approved: 'ab' })).state, 2)).toThrow('no c of 2 floats')
})
