import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sha256 } from '@meshfl/core'
import { expect, test } from 'vitest'
import { BEST_FILE, CHECKPOINT_FILE, LATEST_FILE } from './checkpoint.js'

const built = ['core', 'engine', 'testkit', 'training'].map(
  (room) => new URL(`../../${room}/dist/index.js`, import.meta.url).href,
)
const isBuilt = built.every((url) => existsSync(new URL(url)))

const PROGRAM = `
const [core, engine, testkit, training] = await Promise.all(${JSON.stringify(built)}.map((url) => import(url)))
const study = core.StudySchema.parse({ rounds: 12, model: { channels: 2, dilations: [1], dropout: 0.2 } })
const tiny = testkit.createTinyDataset({ seed: 1, train: 2, valid: 1 })
const reference = testkit.createReferenceEngine()
const session = await reference.createSession(study.model, tiny.grid)
const { seed, model: spec, recipe, classNames } = study
const trainer = new training.LocalTrainer({ session, spec, recipe, seed, classNames, site: 'site-1', ...tiny })
const signal = new AbortController().signal
const killAfter = Number(process.argv[2])
let events = 0
await training.trainCentral({
  study, trainer, signal, run: process.argv[1], engine: reference,
  emit: () => {
    if (++events === killAfter) setTimeout(() => process.kill(process.pid, 'SIGKILL'), killAfter % 4)
  },
})
`

/** Runs the program, which kills itself milliseconds after that many events: mostly in the middle of writing. Whether it came to its end. */
async function trainInChild(run: string, killAfter = Number.POSITIVE_INFINITY): Promise<boolean> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, run, String(killAfter)], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const [code, signal] = await once(child, 'close')
  expect([code, signal]).toContain(killAfter === Number.POSITIVE_INFINITY ? 0 : 'SIGKILL')
  return code === 0
}

async function hashes(run: string): Promise<string[]> {
  return Promise.all([LATEST_FILE, BEST_FILE].map(async (name) => sha256(await readFile(join(run, name)))))
}

test.skipIf(!isBuilt)(
  `a process that is killed again and again ends with the bits of an undisturbed one${isBuilt ? '' : ': not built here'}`,
  async () => {
    const runs = await mkdtemp(join(tmpdir(), 'meshfl-kill-'))
    try {
      const [whole, killed] = [join(runs, 'whole'), join(runs, 'killed')]
      expect(await trainInChild(whole)).toBe(true)
      for (const after of [2, 9, 17, 24]) expect(await trainInChild(killed, after)).toBe(false)
      expect(await trainInChild(killed)).toBe(true)
      expect(await hashes(killed)).toEqual(await hashes(whole))
      expect((await readdir(killed)).sort()).toEqual([BEST_FILE, CHECKPOINT_FILE, LATEST_FILE])
    } finally {
      await rm(runs, { recursive: true, force: true })
    }
  },
)
