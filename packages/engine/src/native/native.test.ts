import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { MeshNetSpecSchema } from '@meshfl/core'
import { describe, expect, test } from 'vitest'
import type { Precision } from '../engine.js'
import { initializeModel } from '../initialize.js'
import { type Addon, loadAddon, STATUS } from './addon.js'
import { cpuInstructionSets, createCpuEngine } from './cpu-engine.js'

const found = await loadAddon('cpu')
const missing = 'addon' in found ? '' : `: not here: ${found.reason}`
const required = (process.env.MESHFL_REQUIRE ?? '').split(',').some((word) => word.trim() === 'cpu')
if (missing && required) test('the addon, which MESHFL_REQUIRE asks for, is there', () => expect.fail(missing))

const file =
  process.env.MESHFL_NATIVE ?? new URL('../../../../native/build/Release/meshfl.node', import.meta.url).pathname

describe.skipIf(missing !== '')(`the native addon${missing}`, () => {
  const { addon } = found as { addon: Addon }
  const wide = MeshNetSpecSchema.parse({ channels: 30, dilations: [1, 2, 4, 2, 1] })
  const grid = { depth: 96, height: 96, width: 96 }
  const image = { images: new Uint8Array(96 ** 3), count: 1 }
  const model = initializeModel(wide, 1)

  test('a run is cancelled with the reason of its signal, and the session goes on', async () => {
    const session = await (await createCpuEngine({ threads: 2 })).createSession(wide, grid)
    const controller = new AbortController()
    const reason = new Error('enough')
    const running = session.forward(model, image, { signal: controller.signal })
    setTimeout(() => controller.abort(reason), 50)
    await expect(running).rejects.toBe(reason)
    await expect(session.forward(model, image, { signal: AbortSignal.timeout(30) })).rejects.toThrow(/timeout/)
    session.dispose()
  })

  test('JavaScript goes on while the kernels run', async () => {
    const session = await (await createCpuEngine({ threads: 1 })).createSession(wide, grid)
    let ticks = 0
    const timer = setInterval(() => ticks++, 1)
    await session.forward(model, image)
    clearInterval(timer)
    session.dispose()
    expect(ticks).toBeGreaterThan(10)
  })

  test('dispose rejects the run in progress, the queued ones and later ones', async () => {
    const session = await (await createCpuEngine({ threads: 2 })).createSession(wide, grid)
    const runs = [session.forward(model, image), session.forward(model, image)]
    await new Promise((resolve) => setTimeout(resolve, 20))
    session.dispose()
    session.dispose()
    for (const run of [...runs, session.forward(model, image)]) {
      await expect(run).rejects.toMatchObject({ code: 'ENGINE_DISPOSED' })
    }
  })

  test('sessions work beside each other, with the same bits', async () => {
    const engine = await createCpuEngine({ threads: 2 })
    const sessions = await Promise.all(
      [1, 2, 3, 4, 5, 6].map(() => engine.createSession(wide, { depth: 9, height: 20, width: 40 })),
    )
    const small = { images: Uint8Array.from({ length: 7200 }, (_, i) => (i * 7) % 256), count: 1 }
    const results = await Promise.all(sessions.map((session) => session.forward(model, small, { logits: true })))
    for (const result of results) expect(result).toEqual(results[0])
    for (const session of sessions) session.dispose()
  })

  test('a worker thread may use it, and be ended in the middle of a run', async () => {
    const script = `
      const { Session } = require(${JSON.stringify(file)})
      const { parentPort } = require('node:worker_threads')
      const session = new Session('cpu', null, 2)
      const request = Uint32Array.of(0, 30, 2, 2, 0, 2, 0, 1, 160, 160, 160, 0, 0, 0, 2, 0, 0, 1, 1)
      session.prepare(request)
      session.run((status) => parentPort.postMessage(status))
      parentPort.postMessage('running')`
    const started = performance.now()
    await Promise.all(
      [1, 2].map(async () => {
        const worker = new Worker(script, { eval: true })
        const message = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
        expect(message).toBe('running')
        await worker.terminate()
      }),
    )
    expect(performance.now() - started).toBeLessThan(10_000)
  })

  test.each(['exit', 'idle'])('a process ends as it should while the kernels run: %s', (way) => {
    const script = `
      const { Session } = require(process.argv[1])
      const way = process.argv[2]
      const edge = way === 'exit' ? 160 : 8
      const session = new Session('cpu', null, 2)
      session.prepare(Uint32Array.of(0, 30, 2, 2, 0, 2, 0, 1, edge, edge, edge, 0, 0, 0, 2, 0, 0, 1, 1))
      session.run((status) => console.log('ended ' + status))
      if (way === 'exit') setTimeout(() => process.exit(7), 20)`
    const spawn = () => execFileSync(process.execPath, ['-e', script, file, way], { timeout: 20_000, stdio: 'pipe' })
    if (way === 'idle') expect(spawn().toString()).toBe('ended 0\n')
    else expect(spawn).toThrow(expect.objectContaining({ status: 7, signal: null }))
  })

  test('arguments that make no sense throw, with a status', () => {
    const refused = (status: number) => expect.objectContaining({ status })
    expect(() => new addon.Session('tpu', null, 1)).toThrow(refused(STATUS.unsupported))
    expect(() => new addon.Session('cpu', 'mmx', 1)).toThrow(refused(STATUS.unsupported))
    for (const threads of [0, -1, 1.5, 1e9, Number.NaN, '2']) {
      expect(() => new addon.Session('cpu', null, threads as number)).toThrow(refused(STATUS.invalidArgument))
    }
    const session = new addon.Session('cpu', null, 1)
    const request = Uint32Array.of(0, 2, 2, 1, 0, 2, 0, 1, 4, 4, 4, 0, 0, 0, 1, 0, 0, 1)
    for (const bad of [null, undefined, 3, [], {}, new Uint8Array(4), new Uint32Array(200), new Uint32Array(16)]) {
      expect(() => session.prepare(bad as Uint32Array)).toThrow(refused(STATUS.invalidArgument))
      expect(() => session.plan(bad as Uint32Array)).toThrow(refused(STATUS.invalidArgument))
    }
    session.prepare(request)
    for (const region of [-1, 11, 99, 0.5, '4']) {
      expect(() => session.write(region as number, new Uint8Array(64))).toThrow(refused(STATUS.invalidArgument))
    }
    expect(() => session.write(4, new Uint8Array(63))).toThrow(/has 64 bytes, not 63/)
    expect(() => session.write(4, 'bytes' as never)).toThrow(refused(STATUS.invalidArgument))
    expect(() => session.run(5 as never)).toThrow(refused(STATUS.invalidArgument))
    session.dispose()
    session.dispose()
    expect(() => session.run(() => undefined)).toThrow(/disposed/)
    expect(() => (addon.Session as unknown as () => void)()).toThrow()
  })

  test('while a session runs it takes no other work', async () => {
    const session = new addon.Session('cpu', null, 2)
    session.prepare(Uint32Array.of(0, 30, 2, 2, 0, 2, 0, 1, 96, 96, 96, 0, 0, 0, 2, 0, 0, 1, 1))
    const ended = new Promise((resolve) => session.run(resolve))
    expect(() => session.run(() => undefined)).toThrow(expect.objectContaining({ status: STATUS.busy }))
    session.cancel()
    expect(await ended).toBe(STATUS.cancelled)
    session.dispose()
  })

  test('an instruction set is chosen by option or by MESHFL_CPU_ISA, and must be one of this CPU', async () => {
    const sets = await cpuInstructionSets()
    expect(sets.at(-1)).toBe('portable')
    expect((await createCpuEngine()).device.instructionSet).toBe(process.env.MESHFL_CPU_ISA ?? sets[0])
    expect((await createCpuEngine({ instructionSet: 'portable' })).device.instructionSet).toBe('portable')
    await expect(createCpuEngine({ instructionSet: 'mmx' })).rejects.toMatchObject({
      code: 'ENGINE_UNAVAILABLE',
      message: expect.stringContaining(sets.join(', ')),
    })
  })

  test('a grid beyond memory is refused, with the largest that fits', async () => {
    const engine = await createCpuEngine()
    const vast = engine.createSession(wide, { depth: 4096, height: 4096, width: 4096 })
    await expect(vast).rejects.toMatchObject({ code: 'ENGINE_MEMORY', data: { largestGrid: expect.anything() } })
    const beyond = engine.createSession(wide, { depth: 2 ** 31, height: 2 ** 31, width: 1 })
    await expect(beyond).rejects.toMatchObject({ code: 'ENGINE_INPUT' })
  })

  test('in bf16 a training step at 256^3 is planned within 2 GB with every tensor kept', async () => {
    const engine = await createCpuEngine({ threads: 2, precision: 'bf16' })
    const session = await engine.createSession(MeshNetSpecSchema.parse({}), { depth: 256, height: 256, width: 256 })
    expect(session.memory.recomputedBlocks).toEqual([])
    expect(session.memory.plannedBytes).toBeLessThan(2e9)
    session.dispose()
  })

  test('an engine computes in the precision it was opened with, its sessions in another when asked', async () => {
    const small = { depth: 6, height: 7, width: 20 }
    const batch = { images: Uint8Array.from({ length: 840 }, (_, i) => (i * i) % 251), count: 1 }
    const logits = async (precision: Precision, asked?: Precision) => {
      const engine = await createCpuEngine({ precision })
      expect(engine.precision).toBe(precision)
      const session = await engine.createSession(wide, small, asked ? { precision: asked } : {})
      const result = await session.forward(model, batch, { logits: true })
      session.dispose()
      return result.logits
    }
    const [fp32, bf16] = [await logits('fp32'), await logits('bf16')]
    expect(bf16).not.toEqual(fp32)
    expect(await logits('fp32', 'bf16')).toEqual(bf16)
    expect(await logits('bf16', 'fp32')).toEqual(fp32)
  })

  test('a training step at 256^3 is planned within 3.5 GB with every tensor kept', async () => {
    const session = await (await createCpuEngine({ threads: 2 })).createSession(MeshNetSpecSchema.parse({}), {
      depth: 256,
      height: 256,
      width: 256,
    })
    expect(session.memory.recomputedBlocks).toEqual([])
    expect(session.memory.plannedBytes).toBeLessThan(3.5e9)
    session.dispose()
  })
})

test.each(['cpu', 'cuda'] as const)(
  'the %s backend is there, or its absence has a reason and a mend',
  async (backend) => {
    const answer = await loadAddon(backend)
    if ('addon' in answer) expect(answer.addon.instructionSets(backend, 0)).not.toEqual([])
    else expect(answer).toEqual({ reason: expect.stringMatching(/./), hint: expect.stringMatching(/./) })
  },
)

test('an addon that is not there, or does not load, or dies, is a reason with a mend', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'meshfl-addon-'))
  try {
    expect(await loadAddon('cpu', join(folder, 'none.node'))).toMatchObject({
      reason: expect.stringContaining('not built'),
    })
    const broken = join(folder, 'broken.node')
    writeFileSync(broken, 'no library')
    expect(await loadAddon('cpu', broken)).toMatchObject({
      reason: expect.stringContaining('does not work'),
      hint: expect.anything(),
    })
    const deadly = join(folder, 'deadly.cjs')
    writeFileSync(deadly, "process.kill(process.pid, 'SIGSEGV')")
    expect(await loadAddon('cpu', deadly)).toMatchObject({ reason: expect.stringContaining('SIGSEGV') })
    const stopped = join(folder, 'stopped.cjs')
    writeFileSync(stopped, "process.kill(process.pid, 'SIGINT')")
    await expect(loadAddon('cpu', stopped)).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }))
  } finally {
    rmSync(folder, { recursive: true })
  }
})
