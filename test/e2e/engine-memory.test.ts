import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { EventOf } from '@meshfl/core'
import { expect, test } from 'vitest'
import { type CliResult, cli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

const planOf = ({ events }: CliResult) => events.find((event) => event.type === 'memory-planned')!
const doneOf = ({ last }: CliResult) => last as EventOf<'done'>

test('training keeps to the memory it is allowed, and learns the same bits whatever the plan and the cache', async () => {
  const dataset = await makeDataset(1)
  const folder = temporaryFolder('memory')
  const train = (name: string, ...options: string[]) =>
    cli(['train', dataset, '--out', join(folder, name), '--rounds', '2', '--batch-size', '2', '--json', ...options])
  const free = await train('free', '--threads', '1')
  expect(free).toMatchObject({ code: 0, last: { type: 'done' } })
  const { plannedBytes, recomputedBlocks, batchSize } = planOf(free)
  expect({ recomputedBlocks, batchSize }).toEqual({ recomputedBlocks: [], batchSize: 2 })
  expect(readFileSync(join(folder, 'free/events.jsonl'), 'utf8')).toContain('"memory-planned"')

  const limit = plannedBytes - 1
  const tight = await train('tight', '--max-memory', String(limit), '--data-cache', '0', '--threads', '1')
  expect(planOf(tight)).toMatchObject({ limitBytes: limit, recomputedBlocks: [0] })
  const layer = await train('layer', '--checkpointing', 'layer')
  expect(planOf(layer).recomputedBlocks).toEqual([0, 1, 2, 4, 5])
  for (const other of [tight, layer]) expect(doneOf(other).parametersSha256).toBe(doneOf(free).parametersSha256)

  const words = await cli(['eval', join(folder, 'free'), '--data', dataset, '--split', 'valid', '--max-memory', '64MB'])
  expect(words.stdout).toMatch(/forward passes on 16x16x16 take [\d.]+ [kM]B of 64.0 MB, [\d.]+ MB to spare/)
})

test('a step is planned for the volumes that there are, however large the batches of the study', async () => {
  const dataset = await makeDataset(1)
  const out = join(temporaryFolder('memory'), 'run')
  const train = (name: string, volumes: string, ...options: string[]) =>
    cli(['train', dataset, '--out', `${out}-${name}`, '--rounds', '1', '--batch-size', volumes, '--json', ...options])
  const two = planOf(await train('two', '2'))
  const many = await train('many', '1000', '--max-memory', String(two.plannedBytes))
  expect(many).toMatchObject({ code: 0, last: { type: 'done' } })
  expect(planOf(many)).toMatchObject({ batchSize: 2, plannedBytes: two.plannedBytes, recomputedBlocks: [] })
})

test('what does not fit is refused before anything is written, and so is an amount that is none', async () => {
  const dataset = await makeDataset(1)
  const out = join(temporaryFolder('memory'), 'run')
  const train = (amount: string) => cli(['train', dataset, '--out', out, '--max-memory', amount, '--json'])
  const refused = await train('100kB')
  expect(refused).toMatchObject({ code: 3, last: { type: 'error', code: 'ENGINE_MEMORY' } })
  expect((refused.last as EventOf<'error'>).hint).toMatch(/^what would fit: .*allow [\d.]+ MB of memory$/)
  for (const amount of ['much', '0', '-1GB', '2XB']) {
    expect(await train(amount)).toMatchObject({ code: 2, last: { type: 'error', code: 'USAGE_BYTES' } })
  }
  expect(existsSync(out)).toBe(false)
})
