import { execFileSync, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { probeEngines } from '../open-engine.js'

/** Takes the system's threads away when the engine is open, or when its session is, and prints what the next thing that starts one says. */
const SCRIPT = `
  const { execFileSync } = await import('node:child_process')
  const { openEngine, initializeModel } = await import('@meshfl/engine')
  const { MeshNetSpecSchema } = await import('@meshfl/core')
  const [device, when] = process.argv.slice(1)
  const spec = MeshNetSpecSchema.parse({ channels: 2, dilations: [1] })
  const model = initializeModel(spec, 1)
  const engine = await openEngine({ device })
  const limit = () => execFileSync('prlimit', ['--pid', String(process.pid), '--nproc=1'])
  const open = (threads) => engine.createSession(spec, { depth: 4, height: 4, width: 4 }, { threads })
  const words = ({ code, exitCode, message, hint }) => console.log(JSON.stringify({ code, exitCode, message, hint }))
  if (when === 'opening') {
    limit()
    await open(8).catch(words)
  } else {
    const session = await open(1)
    limit()
    await session.forward(model, { images: new Uint8Array(64), count: 1 }).catch(words)
    session.dispose()
  }`

const cwd = fileURLToPath(new URL('../../../../cli', import.meta.url))
// Nobody limits root; any other number may be someone's whose processes count too, this one hardly.
const user = process.getuid?.() === 0 ? { uid: 64_321, gid: 64_321 } : {}
const tried = spawnSync('prlimit', ['--nproc=4096', process.execPath, '-e', 'require("node:fs").readdirSync(".")'], {
  cwd,
  ...user,
})
const missing = tried.status === 0 ? '' : `: not here: no prlimit, or another user cannot read ${cwd}`

const refused = (device: string, when: string) => {
  const options = { cwd, timeout: 60_000, stdio: 'pipe', ...user } as const
  return JSON.parse(
    execFileSync(process.execPath, ['--input-type=module', '-e', SCRIPT, device, when], options).toString(),
  )
}
const error = {
  code: 'ENGINE_THREADS',
  exitCode: 3,
  message: expect.stringMatching(/^the system has no room for/),
  hint: 'fewer --threads, or raise the process limit',
}

for (const { name, available, reason } of await probeEngines()) {
  if (name === 'cuda') continue // its threads are the driver's
  const skipped = missing || (available ? '' : `: not here: ${reason}`)
  describe.skipIf(skipped !== '')(`the ${name} engine${skipped}`, () => {
    test('says what to do where the system starts no more threads', () => {
      expect(refused(name, 'opening')).toEqual(error)
    })

    test.skipIf(name === 'wasm')('says so of a run, too (wasm has its threads by then)', () => {
      expect(refused(name, 'running')).toEqual(error)
    })
  })
}
