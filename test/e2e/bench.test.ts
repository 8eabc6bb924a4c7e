import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createCpuEngine } from '@meshfl/engine'
import { expect, test } from 'vitest'
import { cli, startCli, temporaryFolder } from './cli.js'

test('bench prints a line a case, with a reason where there is no figure, and its files become tables and a plot', async () => {
  const folder = temporaryFolder('bench')
  const file = join(folder, 'figures.json')
  const what = [
    '--case',
    'step,forward',
    '--device',
    'cuda,cpu,wasm',
    '--precision',
    'fp32,bf16',
    '--grid',
    '8,32,2000',
  ]
  const run = ['bench', ...what, '--channels', '3', '--threads', '2', '--repeats', '1', '--no-peers', '--json']
  const { code, events, stderr } = await cli([...run, '--out', file])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(events[0]).toMatchObject({ type: 'bench-machine', threads: 2, copyGigabytes: expect.any(Number) })
  const lines = events.filter((event) => event.type === 'bench')
  expect(lines).toHaveLength(3 * 2 * 2 * 3)
  expect(lines.at(-1)).toBe(events.at(-1))
  const wasm = { type: 'bench', engine: 'wasm', precision: 'fp32', channels: 3, threads: 2 }
  const number = expect.any(Number)
  for (const task of ['step', 'forward']) {
    for (const edge of [8, 32]) {
      const figures = { medianSeconds: number, spread: [number, number], peakBytes: number, gflops: number }
      expect(lines).toContainEqual(
        expect.objectContaining({ ...wasm, case: task, grid: [edge, edge, edge], ...figures }),
      )
    }
    const skipped = expect.stringMatching(/takes .*; there may be/)
    expect(lines).toContainEqual(expect.objectContaining({ ...wasm, case: task, grid: [2000, 2000, 2000], skipped }))
  }
  for (const line of lines.filter(({ engine }) => engine === 'cuda'))
    expect(line.skipped ?? line.medianSeconds).toBeTruthy()
  const cpuLine = (precision: string) =>
    lines.find(({ engine, grid, medianSeconds, ...line }) => {
      const isMeasured = engine === 'cpu' && line.precision === precision && medianSeconds !== undefined
      return isMeasured && (grid as number[])[0] === 32 // smaller tensors save less than what tiles are made of takes
    })
  const [fp32, bf16] = [cpuLine('fp32'), cpuLine('bf16')]
  if (fp32) {
    expect(bf16).toMatchObject({ case: fp32.case, grid: fp32.grid, instructionSet: expect.any(String) })
    expect(Number(bf16!.peakBytes)).toBeLessThan(Number(fp32.peakBytes))
    const cpu = await createCpuEngine({ precision: 'bf16' })
    expect(bf16!.instructionSet).toBe(cpu.device.instructionSet)
  } else expect(bf16).toBeUndefined()

  const page = join(folder, 'page.md')
  writeFileSync(page, 'before\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nafter\n')
  const plot = join(folder, 'plot.svg')
  const report = await cli(['bench', '--report', file, '--into', page, '--plot', plot])
  expect(report.code).toBe(0)
  expect(report.stdout).toMatch(/\| 8\^3 training step \| [\d.]+ \|/)
  expect(readFileSync(page, 'utf8')).toMatch(
    /^before\n<!-- bench:begin -->\n\n\| 3 channels, seconds \|[\s\S]*<!-- bench:end -->\nafter\n$/,
  )
  expect(readFileSync(page, 'utf8')).not.toContain('old')
  expect(readFileSync(plot, 'utf8')).toMatch(/^<svg [\s\S]*training step, 3 channels[\s\S]*<\/svg>\n$/)
  const nothing = await cli(['bench', '--report', page, '--json'])
  expect(nothing).toMatchObject({ code: 2, last: { code: 'BENCH_RESULT_MALFORMED' } })
})

test('bench refuses words that it does not know', async () => {
  for (const words of [
    ['--case', 'jump'],
    ['--grid', '0'],
    ['--device', 'cpu,tpu'],
    ['--channels', 'five'],
    ['--channels', '5,65'],
  ]) {
    expect((await cli(['bench', ...words, '--json'])).code).toBe(2)
  }
})

test('bench refuses an amount that is none, and a file that cannot be written, before it measures anything', async () => {
  const folder = temporaryFolder('bench')
  const file = join(folder, 'file')
  writeFileSync(file, '')
  const first = async (...words: string[]) => (await cli(['bench', '--no-peers', ...words, '--json'])).events[0]
  expect(await first('--max-memory', 'all,much')).toMatchObject({ type: 'error', code: 'USAGE_BYTES' })
  for (const out of [folder, join(file, 'figures.json')]) {
    expect(await first('--out', out)).toMatchObject({ type: 'error', code: 'PATH_NOT_WRITABLE' })
  }
})

test('the figures of a bench that is stopped are in its file', async () => {
  const file = join(temporaryFolder('bench'), 'figures.json')
  const what = ['--case', 'forward', '--device', 'wasm', '--grid', '8,200', '--threads', '1', '--repeats', '50']
  const { child, waitFor, ended } = startCli(['bench', ...what, '--no-peers', '--json', '--out', file])
  const figure = await waitFor((event) => (event as { type: string }).type === 'bench')
  child.kill('SIGINT')
  expect(await ended).toMatchObject({ code: 130, last: { type: 'error', code: 'INTERRUPTED' } })
  const { machine, results } = JSON.parse(readFileSync(file, 'utf8'))
  expect(machine).toMatchObject({ type: 'bench-machine', threads: 1 })
  expect(results).toEqual([figure])
})
