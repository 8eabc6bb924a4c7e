import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createCpuEngine } from '@meshfl/engine'
import { expect, test } from 'vitest'
import { cli, temporaryFolder } from './cli.js'

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
  ]) {
    expect((await cli(['bench', ...words, '--json'])).code).toBe(2)
  }
  expect((await cli(['bench', '--max-memory', 'much', '--json'])).last).toMatchObject({ code: 'USAGE_BYTES' })
})
