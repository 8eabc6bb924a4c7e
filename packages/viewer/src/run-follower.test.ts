import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MeshflEvent } from '@meshfl/core'
import { beforeEach, expect, test } from 'vitest'
import { createRunFollower } from './run-follower.js'

const time = '2026-01-02T03:04:05.000Z'
let path: string

beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), 'meshfl-follower-')), 'events.jsonl')
})

const dice = (white: number | null, grey: number | null, foregroundDice: number | null) => ({
  perClass: { background: 0.99, white, grey },
  foregroundDice,
})
const started: MeshflEvent = {
  ...{
    type: 'run-started',
    time,
    command: 'serve',
    run: 'r',
    rounds: 5,
    sites: 2,
    engine: 'cpu',
    device: '',
    path: '/r',
  },
}
const finished = (round: number, foreground: number | null): MeshflEvent => ({
  ...{ type: 'round-finished', time, round, rounds: 5, trainLoss: 1 / round, validLoss: 2 / round },
  ...{ trainDice: null, validDice: dice(0.8, null, foreground) },
  ...{ parametersSha256: `${round}`.repeat(64), seconds: 1, secondsLeft: 60 },
})
const trained = (site: string, round: number, loss: number): MeshflEvent => ({
  ...{ type: 'site-trained', time, site, round, loss, dice: dice(1, 1, 1), samples: 1, seconds: 1, updateSha256: 'x' },
})
const evaluated = (site: string, round: number, foreground: number, cases: number): MeshflEvent => ({
  ...{ type: 'site-evaluated', time, site, round, loss: 1, dice: dice(1, 1, foreground), cases },
})
const lines = (...events: MeshflEvent[]): string => events.map((event) => `${JSON.stringify(event)}\n`).join('')

test('a run that has not begun has no figures, and gets them when it does', () => {
  const follower = createRunFollower(path)
  expect(follower.figures()).toMatchObject({ round: 0, rounds: null, points: [], siteCurves: [], best: null })
  writeFileSync(path, '')
  expect(follower.figures().points).toEqual([])
  writeFileSync(path, lines(started, finished(1, 0.5)))
  expect(follower.figures()).toMatchObject({ command: 'serve', round: 1, rounds: 5, sites: 2, engine: 'cpu' })
})

test('the curves have loss, foreground Dice and the Dice of each class, a gap where there is none', () => {
  writeFileSync(path, lines(started, finished(1, 0.5), finished(2, null)))
  const { points, classNames } = createRunFollower(path).figures()
  expect(classNames).toEqual(['background', 'white', 'grey'])
  expect(points).toEqual([
    {
      ...{ round: 1, trainLoss: 1, validLoss: 2, trainForegroundDice: null, validForegroundDice: 0.5 },
      validDice: [0.99, 0.8, null],
    },
    {
      ...{ round: 2, trainLoss: 0.5, validLoss: 1, trainForegroundDice: null, validForegroundDice: null },
      validDice: [0.99, 0.8, null],
    },
  ])
})

test('every site of a federation has its curves, sorted by name, and the only site of a run has none', () => {
  writeFileSync(path, lines(started, trained('b', 1, 2), evaluated('b', 1, 0.4, 3)))
  const follower = createRunFollower(path)
  expect(follower.figures().siteCurves).toEqual([])
  appendFileSync(path, lines(trained('a', 1, 3), evaluated('a', 1, 0, 0)))
  expect(follower.figures().siteCurves).toEqual([
    // No case, no Dice.
    { site: 'a', points: [{ round: 1, trainLoss: 3, validForegroundDice: null }] },
    { site: 'b', points: [{ round: 1, trainLoss: 2, validForegroundDice: 0.4 }] },
  ])
})

test('of many sites the curves of the first are told, and how many there are more', () => {
  const names = Array.from({ length: 30 }, (_, i) => `site-${10 + i}`)
  writeFileSync(path, lines(started, ...names.map((site) => trained(site, 1, 2)).reverse()))
  const { siteCurves, moreSites } = createRunFollower(path).figures()
  expect(siteCurves.map(({ site }) => site)).toEqual(names.slice(0, 8))
  expect(moreSites).toBe(22)
})

test('what is appended is added, and a line counts when it is whole, wherever it was cut', () => {
  const whole = Buffer.from(lines(finished(2, 0.6), { ...trained('ä', 3, 1) }, finished(3, 0.7)))
  for (let cut = 0; cut <= whole.length; cut += 37) {
    writeFileSync(path, lines(started, finished(1, 0.5)))
    const follower = createRunFollower(path)
    expect(follower.figures().round).toBe(1)
    appendFileSync(path, whole.subarray(0, cut))
    expect(follower.figures().round).toBe(
      cut < Buffer.from(lines(finished(2, 0.6))).length ? 1 : cut < whole.length ? 2 : 3,
    )
    appendFileSync(path, whole.subarray(cut))
    expect(follower.figures().points.map(({ round }) => round)).toEqual([1, 2, 3])
  }
})

test('a round that was done again after a crash counts once, with its last figures', () => {
  writeFileSync(path, lines(started, finished(1, 0.5), finished(2, 0.6), finished(2, 0.65)))
  expect(
    createRunFollower(path)
      .figures()
      .points.map(({ validForegroundDice }) => validForegroundDice),
  ).toEqual([0.5, 0.65])
})

test('lines that are no events of ours are passed over', () => {
  const odd = ['{"type":"round-finished"}', 'null', '[]', '{', '"best"', '{"type":"of a newer version"}', '']
  writeFileSync(path, `${odd.join('\n')}\n${lines(finished(1, 0.5))}`)
  expect(createRunFollower(path).figures().points).toHaveLength(1)
})

test('a file that was replaced by another run is read from its start', () => {
  writeFileSync(path, lines(started, finished(1, 0.5), finished(2, 0.6)))
  const follower = createRunFollower(path)
  expect(follower.figures().round).toBe(2)
  writeFileSync(path, lines(finished(1, 0.1)))
  expect(follower.figures().points).toMatchObject([{ round: 1, validForegroundDice: 0.1 }])
  writeFileSync(`${path}.new`, lines(started, finished(1, 0.2), finished(2, 0.3), finished(3, 0.4)))
  renameSync(`${path}.new`, path)
  expect(follower.figures().points.map(({ validForegroundDice }) => validForegroundDice)).toEqual([0.2, 0.3, 0.4])
})

test('a run that is moved or deleted is told, and another in its place is read from its start', () => {
  writeFileSync(path, lines(started, finished(1, 0.5), finished(2, 0.6)))
  const follower = createRunFollower(path)
  expect(follower.figures().round).toBe(2)
  rmSync(path)
  for (let i = 0; i < 2; i++) expect(() => follower.figures()).toThrow('was moved or deleted')
  // Longer than what was read before, and perhaps with its inode.
  writeFileSync(path, lines(started, finished(1, 0.1), finished(2, 0.2), finished(3, 0.3), finished(4, 0.4)))
  expect(follower.figures().points.map(({ validForegroundDice }) => validForegroundDice)).toEqual([0.1, 0.2, 0.3, 0.4])
})

test('the time left is told while the run goes on, and not when it has been silent for several rounds and a minute', () => {
  const at = (seconds: number): string => new Date(Date.parse(time) + 1000 * seconds).toISOString()
  const leftAfter = (seconds: number, roundSeconds: number): number | null => {
    const round = { ...finished(1, 0.5), time: at(100), seconds: roundSeconds } as MeshflEvent
    writeFileSync(path, lines(started, round))
    const { secondsLeft, lastRoundAt } = createRunFollower(path, () => Date.parse(at(100 + seconds))).figures()
    expect(lastRoundAt).toBe(at(100))
    return secondsLeft
  }
  expect([leftAfter(59, 1), leftAfter(61, 1)]).toEqual([60, null])
  expect([leftAfter(499, 100), leftAfter(501, 100)]).toEqual([60, null])
})
