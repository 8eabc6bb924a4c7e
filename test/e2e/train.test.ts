import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { MeshflEvent } from '@meshfl/core'
import { beforeAll, expect, test } from 'vitest'
import { cli, startCli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

let dataset = ''
beforeAll(async () => {
  dataset = await makeDataset(1)
}, 60_000)

const isRound = (event: MeshflEvent): boolean => event.type === 'round-finished'

test('two trainings do not work in one folder: the second is refused and leaves the first alone', async () => {
  const run = join(temporaryFolder('train'), 'run')
  const train = ['train', dataset, '--out', run, '--rounds', '5000', '--json']
  const first = startCli(train)
  await first.waitFor(isRound)
  const second = await cli(train)
  first.child.kill('SIGKILL')
  await first.ended
  expect(second).toMatchObject({ code: 3, last: { type: 'error', code: 'RUN_LOCKED' } })
  expect(second.events).toHaveLength(1)
  const told = readFileSync(join(run, 'events.jsonl'), 'utf8')
  expect(told.match(/"run-started"/g)).toHaveLength(1)

  const third = startCli(train)
  await third.waitFor(isRound)
  expect(third.events).toContainEqual(
    expect.objectContaining({ type: 'run-started', resumedAtRound: expect.any(Number) }),
  )
  third.child.kill('SIGINT')
  expect((await third.ended).code).toBe(130)
})

test('what a stopped training says of going on is true whatever it was started with', async () => {
  const run = join(temporaryFolder('train'), 'run')
  const train = ['train', dataset, '--out', run, '--rounds', '5000', '--device', 'wasm', '--threads', '1', '--json']
  const first = startCli(train)
  await first.waitFor(isRound)
  first.child.kill('SIGINT')
  expect(await first.ended).toMatchObject({
    code: 130,
    last: { code: 'INTERRUPTED', hint: 'run the same command again to go on' },
  })
})

test('Ctrl-C while an engine is looked for is a stop, and says nothing against the engine', async () => {
  const folder = temporaryFolder('train')
  const addon = join(folder, 'addon.cjs')
  writeFileSync(addon, "process.kill(0, 'SIGINT')") // all of the process group, as a terminal does
  const env = { MESHFL_NATIVE: addon }
  for (const words of [['train', dataset, '--out', join(folder, 'run'), '--device', 'cpu'], ['doctor']]) {
    const stopped = await startCli([...words, '--json'], { env, detached: true }).ended
    expect(stopped).toMatchObject({ code: 130, last: { type: 'error', code: 'INTERRUPTED' } })
  }
})
