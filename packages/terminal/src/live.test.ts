import { EventEmitter } from 'node:events'
import { expect, onTestFinished, test, vi } from 'vitest'
import { startLiveView } from './live.js'
import type { LiveViewOptions } from './live-options.js'
import { displayWidth } from './text.js'

// In CI ink writes the last frame only; here its frames are what is tested.
vi.hoisted(() => {
  process.env.CI = 'false'
})

const time = '2026-01-02T03:04:05.000Z'

/** A terminal that understands what Screen writes: cursor up, line feed, clear to the end of the line and of the screen. */
class Terminal extends EventEmitter {
  isTTY = true
  written = ''
  #lines: string[] = []
  #row = 0
  constructor(
    public columns: number,
    public rows: number,
  ) {
    super()
  }
  write(chunk: string): boolean {
    this.written += chunk
    const tokens = new RegExp(`${'\u001b'}\\[([0-9;?]*)([A-Za-z])|\\r\\n|\\r|[^${'\u001b'}\\r\\n]+`, 'g')
    for (const [token, argument, command] of chunk.matchAll(tokens)) {
      if (token === '\r\n') this.#row++
      else if (command === 'A') this.#row = Math.max(0, this.#row - Number(argument))
      else if (command === 'H') this.#row = 0
      else if (command === 'J') this.#lines.length = Math.min(this.#lines.length, this.#row)
      else if (token !== '\r' && command === undefined) this.#lines[this.#row] = token
      else if (command === 'K' && this.#lines[this.#row] === undefined) this.#lines[this.#row] = ''
    }
    return true
  }
  get lines(): string[] {
    return Array.from(this.#lines, (line) => line ?? '')
  }
}

class Keyboard extends EventEmitter {
  isTTY = true
  #keys: string[] = []
  setEncoding(): void {}
  setRawMode(): void {}
  ref(): void {}
  unref(): void {}
  read(): string | null {
    return this.#keys.shift() ?? null
  }
  press(key: string): void {
    this.#keys.push(key)
    this.emit('readable')
  }
}

function start(columns = 80, rows = 24, options: Partial<LiveViewOptions> = {}) {
  const terminal = new Terminal(columns, rows)
  const keyboard = new Keyboard()
  const onQuit = vi.fn()
  const view = startLiveView({
    title: 'meshfl serve',
    stdout: terminal as unknown as NodeJS.WriteStream,
    stdin: keyboard as unknown as NodeJS.ReadStream,
    color: false,
    onQuit,
    ...options,
  })
  onTestFinished(() => view.stop())
  return { terminal, keyboard, view, onQuit }
}

type View = ReturnType<typeof startLiveView>

function run({ sink }: View, sites: number, rounds: number): void {
  const names = Array.from({ length: sites }, (_, index) => `site-${index + 1}`)
  sink({
    type: 'run-started',
    time,
    command: 'serve',
    run: 'gw3',
    rounds: 50,
    sites,
    engine: 'cpu',
    device: 'AVX-512, 2 threads',
    path: '/r',
  })
  for (const site of names) sink({ type: 'site-state', time, site, state: 'online' })
  for (let round = 1; round <= rounds; round++) {
    sink({ type: 'round-started', time, round, rounds: 50, sites: names })
    for (const site of names) sink({ type: 'step', time, site, round, step: 9, steps: 18, loss: 1 / round })
    const dice = { perClass: {}, foregroundDice: 1 - 1 / (round + 1) }
    sink({
      type: 'round-finished',
      time,
      round,
      rounds: 50,
      trainLoss: 1 / round,
      trainDice: dice,
      validLoss: 1.1 / round,
      validDice: dice,
      parametersSha256: 'x',
      seconds: 65,
      secondsLeft: 3600,
    })
  }
}

test('the first frame is there before ink is loaded', () => {
  const { terminal } = start()
  expect(terminal.lines[0]).toMatch(/^meshfl serve/)
})

test.each([
  [60, 18],
  [80, 24],
  [120, 40],
])('at %i by %i a run of eight sites fits, with its curves, its log and its keys', async (columns, rows) => {
  const { terminal, view } = start(columns, rows)
  run(view, 8, 12)
  await vi.waitFor(() => expect(terminal.lines.join('\n')).toContain('round 12/50'))
  expect(terminal.lines.length).toBeLessThan(rows)
  for (const line of terminal.lines) expect(displayWidth(line)).toBeLessThanOrEqual(columns)
  const text = terminal.lines.join('\n')
  for (const part of ['site-8', 'foreground Dice', 'train  ', 'valid', 'q stop']) expect(text).toContain(part)
})

test('with more sites than fit, those in trouble stay and a line counts the rest', async () => {
  const { terminal, view } = start(80, 16)
  run(view, 30, 1)
  view.sink({ type: 'site-state', time, site: 'site-29', state: 'lost', reason: 'no word for 60 s' })
  await vi.waitFor(() => expect(terminal.lines.join('\n')).toContain('no word for 60 s'))
  expect(terminal.lines.join('\n')).toMatch(/\+ \d+ more: \d+ training/)
  expect(terminal.lines.length).toBeLessThan(16)
})

test('after a resize the frame fits the new size', async () => {
  const { terminal, view } = start(120, 40)
  run(view, 8, 12)
  await vi.waitFor(() => expect(terminal.lines.join('\n')).toContain('round 12/50'))
  terminal.columns = 60
  terminal.rows = 18
  terminal.emit('resize')
  await vi.waitFor(() => expect(terminal.lines.length).toBeLessThan(18))
  for (const line of terminal.lines) expect(line.length).toBeLessThanOrEqual(60)
})

test('an invite is printed whole above the frame, longer than the line or not', async () => {
  const { terminal, view } = start()
  const invite = `mfl1:${'k'.repeat(200)}`
  const command = `meshfl join ${invite} --data <dataset>`
  run(view, 0, 0)
  view.sink({ type: 'invite', invite })
  await vi.waitFor(() => expect(terminal.lines).toContain(command))
  const title = terminal.lines.findIndex((line) => line.startsWith('meshfl serve'))
  expect(title).toBeGreaterThan(terminal.lines.indexOf(command))
})

test('q and Ctrl-C stop once, p pauses and continues, and the last frame stays without keys', async () => {
  const onPause = vi.fn()
  const { terminal, keyboard, view, onQuit } = start(80, 24, { onPause })
  run(view, 2, 1)
  await vi.waitFor(() => expect(keyboard.listenerCount('readable')).toBe(1))
  keyboard.press('p')
  expect(onPause).toHaveBeenLastCalledWith(true)
  keyboard.press('p')
  expect(onPause).toHaveBeenLastCalledWith(false)
  keyboard.press('q')
  keyboard.press('q')
  expect(onQuit).toHaveBeenCalledTimes(1)
  expect(terminal.lines.join('\n')).toContain('stopping: everything so far is kept')
  await view.stop()
  expect(terminal.lines.join('\n')).toContain('site-2')
  expect(terminal.lines.join('\n')).not.toContain('stopping: everything')
  expect(terminal.written.endsWith('\u001b[?25h')).toBe(true)
})

test('questions are asked one after the other; one whose answer is known elsewhere goes, and a view that stops answers none', async () => {
  const { terminal, keyboard, view } = start()
  await vi.waitFor(() => expect(keyboard.listenerCount('readable')).toBe(1))
  const known = new AbortController()
  const [first, gone, second, third] = ['site-1', 'site-0', 'site-2', 'site-3'].map((site) =>
    view.ask(`admit ${site}?`, site === 'site-0' ? known.signal : new AbortController().signal),
  )
  await vi.waitFor(() => expect(terminal.lines.join('\n')).toContain('admit site-1? [y/n]'))
  keyboard.press('?')
  await vi.waitFor(() => expect(terminal.lines.join('\n')).toContain('the full log, and back'))
  keyboard.press('?')
  keyboard.press('y\r') // in one read, as from a slow line
  expect(await first).toBe(true)
  await vi.waitFor(() => expect(terminal.lines.join('\n')).toContain('admit site-0? [y/n]'))
  known.abort()
  expect(await gone).toBeUndefined()
  await vi.waitFor(() => expect(terminal.lines.join('\n')).toContain('admit site-2? [y/n]'))
  keyboard.press('n')
  expect(await second).toBe(false)
  await view.stop()
  expect(await third).toBeUndefined()
})

test('nothing is written when nothing has changed', async () => {
  const { terminal, keyboard, view } = start()
  run(view, 2, 1)
  view.sink({ type: 'best', time, round: 1, foregroundDice: 0.5 })
  await vi.waitFor(() => expect(terminal.lines.join('\n')).toContain('best Dice 0.5000'))
  await vi.waitFor(() => expect(keyboard.listenerCount('readable')).toBe(1))
  const { length } = terminal.written
  for (let repeat = 0; repeat < 20; repeat++) view.sink({ type: 'best', time, round: 1, foregroundDice: 0.5 })
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(terminal.written.length - length).toBeLessThan(200)
})
