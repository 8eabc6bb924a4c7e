import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { syncFolder } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { openFileLimit } from './file-limit.js'
import { verifyLedger } from './ledger.js'
import { Loopback, until } from './loopback.fixture.js'

/** Whether the limit of a living process can be changed. */
const hasPrlimit = (() => {
  try {
    execFileSync('prlimit', ['--pid', String(process.pid), '--nofile'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()
const title = (words: string): string => (hasPrlimit ? words : `${words} (skipped: no prlimit)`)

let loopback: Loopback | undefined
let rescue: ChildProcess | undefined
afterEach(async () => {
  rescue?.stdin?.end()
  rescue = undefined
  await loopback?.close()
})

/**
 * Leaves this process no file that it may open, as strangers do who hold its connections; gives them back. Who gives them back is
 * a process that was started before: none can be started without files.
 */
function takeAllFiles(): () => Promise<void> {
  const set = (limit: string): string => `prlimit --pid ${process.pid} --nofile=${limit}:`
  const before = openFileLimit() ?? 'unlimited'
  rescue = spawn('sh', ['-c', `${set('3')}; echo; read line; ${set(String(before))}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = new Promise<void>((resolve) => rescue!.once('exit', () => resolve()))
  return async () => {
    rescue?.stdin?.end()
    await ended
  }
}

const isTold = (words: RegExp): boolean => loopback!.logs().some((message) => words.test(message))

test.skipIf(!hasPrlimit)(
  title('a coordinator that has no open file left says so, goes on when it has, and has lost nothing'),
  async () => {
    loopback = new Loopback(1, { rounds: 30 })
    const coordinator = await loopback.start()
    const site = loopback.join('site-1')
    await until(() => loopback!.events.some((event) => event.type === 'round-finished' && event.round === 3))
    const giveBack = takeAllFiles()
    await until(() => isTold(/^no open file is left to write .* \(EMFILE\): waiting until it can be written$/))
    // Meanwhile the look at the memory, which is read from a file, ends nothing; and a folder that cannot be synced is not taken for one that need not be.
    await new Promise((resolve) => setTimeout(resolve, 500))
    await expect(syncFolder(loopback.run)).rejects.toMatchObject({ code: 'EMFILE' })
    await giveBack()
    const [result] = await Promise.all([coordinator.finished, site.finished])
    expect(isTold(/it can be written again: going on/)).toBe(true)
    const ledger = readFileSync(join(loopback.run, 'ledger.jsonl'), 'utf8').trim().split('\n')
    expect(verifyLedger(ledger, coordinator.signingPublic)).toEqual({ ok: true, rounds: 30 })
    expect(readdirSync(join(loopback.run, 'rounds'))).toHaveLength(30)
    expect(result.rounds).toBe(30)
  },
)
