import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { lockFolder, type MeshflEvent, StudySchema } from '@meshfl/core'
import { afterAll, expect, test } from 'vitest'
import { type FederationRun, startFederationRun } from './federation-run.js'

const temporary = mkdtempSync(path.join(tmpdir(), 'meshfl-federation-run-'))
afterAll(() => rmSync(temporary, { recursive: true, force: true }))

function start(folder: string, events: MeshflEvent[], bind = 'tcp://127.0.0.1:*'): Promise<FederationRun> {
  return startFederationRun({
    folder,
    study: StudySchema.parse({ rounds: 3 }),
    bind,
    telemetry: {},
    sites: 2,
    approve: async () => true,
    command: 'serve',
    printInvites: false,
    output: {
      events: (event) => events.push(event),
      asks: false,
      ask: async () => undefined,
      result: () => undefined,
      say: () => undefined,
      stop: async () => undefined,
    },
    signal: new AbortController().signal,
  })
}

test('a folder is locked from before its first file is written until the last one is closed', async () => {
  const folder = path.join(temporary, 'run')
  const starting = start(folder, [])
  while (!existsSync(path.join(folder, 'study.yaml'))) await turn()
  await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'RUN_LOCKED' })

  const run = await starting
  const finished = expect(run.coordinator.finished).rejects.toMatchObject({ code: 'INTERRUPTED' })
  await expect(start(folder, [])).rejects.toMatchObject({ code: 'RUN_LOCKED' })
  await run.coordinator.stop()
  await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'RUN_LOCKED' })
  await run.close()
  await finished
  const lock = await lockFolder(folder)
  lock.release()
})

test('a start that fails gives the folder back and binds it to no study', async () => {
  const folder = path.join(temporary, 'failed')
  const blocker = await start(path.join(temporary, 'blocker'), [])
  const { endpoint } = blocker.coordinator
  blocker.coordinator.finished.catch(() => undefined)
  await expect(start(folder, [], endpoint)).rejects.toMatchObject({ code: 'BIND_FAILED' })
  expect(existsSync(path.join(folder, 'study.yaml'))).toBe(false)
  const lock = await lockFolder(folder)
  lock.release()
  await blocker.close()
})
