import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { verifyLedger } from '@meshfl/federation'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { root, temporaryFolder } from './cli.js'
import { TINY_MODEL } from './killed-federation.js'

const STUDY = { rounds: 3, model: TINY_MODEL }
const TIMING = { pingMs: 200, suspectMs: 600, resendMs: 200, probeMs: 50 }
/** A site that is killed when it has its end, and said nothing, is waited for in vain. */
const leaseMs = (death?: Death): number => (death?.at === 'finished written' ? 3000 : 30_000)
const SITES = ['site-1', 'site-22']
const built = (name: string): string => JSON.stringify(pathToFileURL(path.join(root, `packages/${name}/dist/index.js`)))

/** A coordinator or a site that kills itself where it reaches a point for the n-th time: nothing that it has open is closed. */
const SCRIPT = `
  import { StudySchema, studySha256 } from ${built('core')}
  import { initializeModel, modelLayout } from ${built('engine')}
  import * as federation from ${built('federation')}
  const { site, folder, invite, study: given, sites, delayMs, dieAt, time, timing } = JSON.parse(process.argv[1])
  const say = (message) => process.stdout.write(JSON.stringify(message) + '\\n')
  const { signal } = new AbortController()
  let seen = 0
  const at = (point) => point === dieAt && ++seen === time && process.kill(process.pid, 'SIGKILL')
  const events = () => undefined
  let finished
  if (site) {
    const { createTinyTrainer, describeTinySite, joinFederation } = federation
    const createTrainer = async () => createTinyTrainer(site, { delayMs })
    const describe = async () => describeTinySite(site)
    finished = joinFederation({ invite, folder, describe, createTrainer, events, signal }, { timing, at })
  } else {
    const study = StudySchema.parse(given)
    const coordinator = await federation.startCoordinator({
      folder, bind: 'tcp://127.0.0.1:*', study, studySha256: studySha256(study), layout: modelLayout(study.model),
      initialModel: initializeModel(study.model, study.seed), sites, approve: async () => true, events, signal,
    }, { timing, at })
    const key = Buffer.from(coordinator.signingPublic).toString('hex')
    say({ invites: coordinator.invites.map(({ invite }) => invite), key })
    finished = coordinator.finished
  }
  say({ hash: (await finished).parametersSha256 })
  process.exit()`

interface Death {
  who: string
  at: string
  time: number
}

interface Said {
  invites?: string[]
  key?: string
  hash?: string
}

const children = new Set<ChildProcess>()
afterAll(() => {
  for (const child of children) child.kill('SIGKILL')
})

function start(job: object, death: Death | undefined, onSaid: (said: Said) => void): Promise<NodeJS.Signals | null> {
  const options = { ...job, ...(death ? { dieAt: death.at, time: death.time } : {}) }
  const child = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.add(child)
  createInterface({ input: child.stdout! }).on('line', (line) => onSaid(JSON.parse(line)))
  return new Promise((resolve) => child.once('close', (_, signal) => resolve(signal)))
}

/** The hash that each ends with and the model after each round, where one of them is killed, and started again. */
async function federate(death?: Death): Promise<{ hashes: (string | undefined)[]; models: string[] }> {
  const folder = temporaryFolder('killed-at')
  const run = path.join(folder, 'run')
  const timing = { ...TIMING, leaseMs: leaseMs(death) }
  let key = ''
  const live = async (name: string, job: object, onSaid: (said: Said) => void): Promise<string | undefined> => {
    let hash: string | undefined
    const listen = (said: Said): void => {
      hash ??= said.hash
      onSaid(said)
    }
    const dies = death?.who === name
    const signal = await start(job, dies ? death : undefined, listen)
    expect(signal).toBe(dies ? 'SIGKILL' : null)
    if (dies) expect(await start(job, undefined, listen)).toBe(null)
    return hash
  }
  let ended: Promise<string | undefined>[] = []
  const begun = new Promise<string[]>((resolve) => {
    const job = { folder: run, study: STUDY, sites: SITES.length, timing }
    const coordinator = live('coordinator', job, (said) => {
      key = said.key ?? key
      if (said.invites) resolve(said.invites)
    })
    ended = [coordinator]
  })
  const invites = await begun
  // One of them after the other: what comes together is kept by the commit alone.
  for (const [i, site] of SITES.entries())
    ended.push(
      live(
        site,
        { site, folder: path.join(folder, site), invite: invites[i], delayMs: 150 * i, timing },
        () => undefined,
      ),
    )
  const hashes = await Promise.all(ended)
  const lines = readFileSync(path.join(run, 'ledger.jsonl'), 'utf8').trim().split('\n')
  expect(verifyLedger(lines, Buffer.from(key, 'hex'))).toEqual({ ok: true, rounds: STUDY.rounds })
  return { hashes, models: lines.map((line) => (JSON.parse(line) as { result: string }).result) }
}

let expected: Awaited<ReturnType<typeof federate>>
beforeAll(async () => {
  expected = await federate()
  expect(new Set(expected.hashes).size).toBe(1)
})

const deaths = (who: string, points: readonly string[]): Death[] =>
  points.map((at) => ({ who, at, time: ['before done', 'finished written', 'enrolled'].includes(at) ? 1 : 2 }))

test.concurrent.each([
  ...deaths('coordinator', ['before task', 'before ack', 'before journal', 'journal written', 'before commit']),
  ...deaths('coordinator', [
    'commit written',
    'before derive',
    'derived',
    'before record',
    'record written',
    'before done',
  ]),
  ...deaths('site-1', ['enrolled', 'before start', 'before save', 'result written', 'before send-result']),
  ...deaths('site-1', ['finished written']),
])('$who, killed $at, goes on from there', async (death) => {
  expect(await federate(death)).toEqual(expected)
})
