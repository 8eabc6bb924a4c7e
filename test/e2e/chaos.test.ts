import { cpSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { parseInvite, verifyLedger } from '@meshfl/federation'
import { afterAll, expect, test } from 'vitest'
import { temporaryFolder } from './cli.js'
import { KilledFederation } from './killed-federation.js'

/** The nightly run sets 5,000 (docs/durability.md). */
const KILLS = Number(process.env.MESHFL_CHAOS_KILLS ?? 500)
const SEED = Number(process.env.MESHFL_CHAOS_SEED ?? 1)
const ROUNDS = Math.ceil(KILLS * 1.2)
const SITES = Array.from({ length: 8 }, (_, i) => `site-${i + 1}`)

const folder = temporaryFolder('chaos')
const open: KilledFederation[] = []
afterAll(async () => {
  await Promise.all(open.map((federation) => federation.close()))
  rmSync(folder, { recursive: true, force: true })
})

/**
 * A port below those that systems give to whoever dials out: while the coordinator is dead nobody else gets it, and no site that
 * dials it meets itself there.
 */
async function freePort(): Promise<number> {
  for (let port = 10_000 + (process.pid % 10_000); ; port++) {
    const server = createServer().listen(port, '127.0.0.1')
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('listening', () => resolve(true)).once('error', () => resolve(false))
    })
    if (!isFree) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}

/** Every file that a run leaves for others: their names and contents. */
function outcome(run: string): Map<string, Buffer> {
  const rounds = readdirSync(path.join(run, 'rounds')).map((name) => `rounds/${name}`)
  const names = ['ledger.jsonl', 'latest.safetensors', 'best.safetensors', ...rounds.sort()]
  return new Map(names.map((name) => [name, readFileSync(path.join(run, name))]))
}

test(
  `${KILLS} SIGKILLs of coordinator and sites in ${ROUNDS} rounds leave the files of an undisturbed run, byte for byte`,
  async () => {
    const invites = new Map<string, string>()
    const options = { port: await freePort(), sites: SITES, rounds: ROUNDS, invites }
    const undisturbed = new KilledFederation({ ...options, folder: path.join(folder, 'undisturbed') })
    open.push(undisturbed)
    const expected = await undisturbed.run(0, SEED)

    // The same keys and approvals in new folders: the same run, not yet begun.
    const killed = new KilledFederation({ ...options, folder: path.join(folder, 'killed') })
    open.push(killed)
    cpSync(path.join(undisturbed.folder, 'keys'), path.join(killed.folder, 'keys'), { recursive: true })
    cpSync(path.join(undisturbed.folder, 'sites.json'), path.join(killed.folder, 'sites.json'))
    for (const site of SITES)
      cpSync(path.join(undisturbed.siteFolder(site), 'keys'), path.join(killed.siteFolder(site), 'keys'), {
        recursive: true,
      })
    const found = await killed.run(KILLS, SEED)

    expect(killed.kills).toBe(KILLS)
    expect(new Set(expected.values()).size).toBe(1)
    expect(found).toEqual(expected)
    const files = outcome(killed.folder)
    for (const [name, bytes] of outcome(undisturbed.folder)) {
      expect(files.has(name), name).toBe(true)
      expect(files.get(name)!.equals(bytes), name).toBe(true)
      files.delete(name)
    }
    expect([...files.keys()]).toEqual([])
    const lines = readFileSync(path.join(killed.folder, 'ledger.jsonl'), 'utf8').trim().split('\n')
    const { signingPublic } = parseInvite(invites.get('site-1')!)
    expect(verifyLedger(lines, signingPublic)).toEqual({ ok: true, rounds: ROUNDS })
  },
  Math.max(900_000, KILLS * 2000),
)
