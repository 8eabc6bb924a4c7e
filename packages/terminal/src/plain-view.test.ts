import { Writable } from 'node:stream'
import { type Dice, MeshflError, type MeshflEvent } from '@meshfl/core'
import { expect, test } from 'vitest'
import { formatError } from './format-error.js'
import { createPlainView, type PlainViewOptions } from './plain-view.js'
import { createProgressBar } from './progress-bar.js'

const time = '2026-01-02T03:04:05.000Z'
const dice = (foregroundDice: number | null): Dice => ({ perClass: {}, foregroundDice })

class Sink extends Writable {
  text = ''
  isTTY = false
  columns = 60
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString()
    done()
  }
}

const started = (sites: number): MeshflEvent => ({
  type: 'run-started',
  time,
  command: 'simulate',
  run: 'gw3',
  rounds: 2,
  sites,
  engine: 'wasm',
  device: 'WebAssembly, 2 threads',
  path: '/runs/gw3',
})
const trained = (site: string, round: number): MeshflEvent => ({
  type: 'site-trained',
  time,
  site,
  round,
  loss: 0.41234,
  dice: dice(0.8),
  samples: 18,
  seconds: 32.1,
  updateSha256: 'x',
})
const finished = (round: number): MeshflEvent => ({
  type: 'round-finished',
  time,
  round,
  rounds: 2,
  trainLoss: 0.41,
  trainDice: dice(0.8),
  validLoss: 0.45,
  validDice: dice(Number.NaN),
  parametersSha256: 'x',
  seconds: 65,
  secondsLeft: 185,
})

function print(events: readonly MeshflEvent[], options: Partial<PlainViewOptions> = {}): string[] {
  const stream = new Sink()
  const view = createPlainView({ stream, clock: false, ...options })
  for (const event of events) view.sink(event)
  return stream.text.split('\n').slice(0, -1)
}

test('a run in a pipe prints a line per site per round and a line per round', () => {
  expect(
    print([
      started(2),
      { type: 'site-state', time, site: 'site-1', state: 'online' },
      { type: 'site-state', time, site: 'site-1', state: 'training' },
      { type: 'round-started', time, round: 1, rounds: 2, sites: ['site-1', 'site-2'] },
      { type: 'step', time, site: 'site-1', round: 1, step: 1, steps: 18, loss: 1 },
      trained('site-1', 1),
      trained('site-2', 1),
      { type: 'site-evaluated', time, site: 'site-1', round: 1, loss: 0.45, dice: dice(0.7), cases: 4 },
      finished(1),
      { type: 'site-state', time, site: 'site-2', state: 'lost', reason: 'no word for 60 s' },
      {
        type: 'done',
        rounds: 2,
        parametersSha256: 'x',
        best: { round: 1, foregroundDice: 0.7 },
        path: '/runs/gw3',
      },
    ]),
  ).toEqual([
    'simulate gw3: 2 rounds, 2 sites; wasm, WebAssembly, 2 threads; /runs/gw3',
    'site-1 is here',
    'round 1/2: site-1 trained on 18 volumes in 32.1 s, loss 0.4123, Dice 0.8000',
    'round 1/2: site-2 trained on 18 volumes in 32.1 s, loss 0.4123, Dice 0.8000',
    'round 1/2 done in 1m 05s: train loss 0.4100 Dice 0.8000, valid loss 0.4500 Dice -, 3m 05s left',
    'warning: site-2 is lost: no word for 60 s',
    'done: 2 rounds, best foreground Dice 0.7000 at round 1; /runs/gw3',
  ])
})

test('where one machine trains alone the line of the round says it all', () => {
  expect(print([{ ...started(1), command: 'train' } as MeshflEvent, trained('site-1', 1), finished(2)])).toEqual([
    'train gw3: 2 rounds; wasm, WebAssembly, 2 threads; /runs/gw3',
    'round 2/2 done in 1m 05s: train loss 0.4100 Dice 0.8000, valid loss 0.4500 Dice -',
  ])
})

test('a site, which hears of no round’s end, tells of each of its own', () => {
  const [, line] = print([{ ...started(1), command: 'join' } as MeshflEvent, trained('site-1', 1)])
  expect(line).toMatch(/site-1/)
})

test('quiet leaves warnings, errors and the invites, each whole on its own line as the command to copy', () => {
  const invite = `mfl1:${'a'.repeat(300)}`
  expect(
    print(
      [
        started(2),
        { type: 'invite', invite },
        { type: 'invite', invite: 'mfl1:b' },
        { type: 'log', time, level: 'info', message: 'fine' },
        { type: 'log', time, level: 'warn', message: 'less fine' },
        { type: 'progress', time, task: 'read', done: 5, total: 5, unit: 'volumes' },
      ],
      { quiet: true },
    ),
  ).toEqual([
    'give each site one of these lines:',
    `meshfl join ${invite} --data <dataset>`,
    'meshfl join mfl1:b --data <dataset>',
    'warning: less fine',
  ])
})

test('a message from elsewhere cannot move the cursor or set colours', () => {
  const message = '\u001b[2J\u001b]0;title\u0007red \u001b[31malert\r\nsecond'
  const [line] = print([{ type: 'log', time, level: 'info', message }])
  expect(line).toBe(' red alert second')
})

test('progress in a pipe is a line every tenth of the way', () => {
  const stream = new Sink()
  let clock = 0
  const bar = createProgressBar({ stream, now: () => clock })
  for (let done = 0; done <= 100; done++) {
    bar.update({ type: 'progress', time, task: 'read volumes', done, total: 100, unit: 'volumes' })
    clock += 100
  }
  const lines = stream.text.trimEnd().split('\n')
  expect(lines).toHaveLength(10)
  expect(lines[0]).toBe('read volumes: 10/100 volumes, 10 volumes/s, 9 s left')
  expect(lines[9]).toBe('read volumes: 100/100 volumes, 10 volumes/s')
})

test('slow progress in a pipe is a line every five seconds', () => {
  const stream = new Sink()
  let clock = 0
  const bar = createProgressBar({ stream, now: () => clock })
  for (let done = 0; done <= 20; done++) {
    bar.update({ type: 'progress', time, task: 'copy', done: done * 1e6, total: 1e9, unit: 'B' })
    clock += 1000
  }
  expect(stream.text.split('\n')[0]).toBe('copy: 5.00 MB of 1.00 GB, 1.00 MB/s, 16m 35s left')
  expect(stream.text.trimEnd().split('\n')).toHaveLength(4)
})

test('progress on a terminal is one line that never reaches the edge, ended when complete', () => {
  const stream = new Sink()
  stream.isTTY = true
  let clock = 0
  const bar = createProgressBar({ stream, color: false, now: () => clock })
  for (let done = 0; done <= 12; done++) {
    bar.update({ type: 'progress', time, task: 'read volumes', done, total: 12, unit: 'volumes' })
    clock += 500
  }
  const frames = stream.text.split('\r').slice(1)
  expect(frames).toHaveLength(13)
  expect(stream.text.match(/\n/g)).toHaveLength(1)
  for (const frame of frames) expect(frame.split('\u001b')[0]!.length).toBeLessThan(60)
  expect(frames[12]).toMatch(/^read volumes {2}━+ {2}12\/12 volumes {2}2\.0 volumes\/s/)
})

test('an error that can be mended prints its code, its sentence and its hint', () => {
  const error = new MeshflError('LABEL_GRID_MISMATCH', 'label a.nii is 64x64, its image 32x32', {
    hint: 'pass --conform',
  })
  expect(formatError(error)).toEqual([
    'error LABEL_GRID_MISMATCH: label a.nii is 64x64, its image 32x32',
    '  hint: pass --conform',
  ])
})

test('any other error says that it is a fault of meshfl and shows its stack and its causes', () => {
  const lines = formatError(new TypeError('x is not a function', { cause: new Error('the root') }))
  expect(lines[0]).toBe('error INTERNAL: x is not a function')
  expect(lines[1]).toContain('fault of meshfl')
  expect(lines.join('\n')).toMatch(/plain-view\.test/)
  expect(lines.join('\n')).toContain('caused by Error: the root')
})

test('what is thrown and is no error is printed too', () => {
  expect(formatError('oops')[0]).toBe('error INTERNAL: something was thrown that is no error: oops')
  expect(formatError(undefined)[0]).toContain('undefined')
})
