import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { decodeSafetensors, MeshNetSpecSchema } from '@meshfl/core'
import { expect, test } from 'vitest'
import type { SessionOptions } from '../engine.js'
import { initializeModel } from '../initialize.js'
import { modelLayout } from '../layout.js'
import { batch, grid, labels, loss, model, spec, voxels } from '../small-model.fixture.js'
import { createWasmEngine } from './wasm-engine.js'

const engine = await createWasmEngine({ threads: 2 })

test('a run is cancelled with the reason of its signal, and the session goes on', async () => {
  const wide = MeshNetSpecSchema.parse({ channels: 30, dilations: [1, 2, 4, 2, 1] })
  const large = { depth: 64, height: 64, width: 64 }
  const session = await engine.createSession(wide, large)
  const wideModel = initializeModel(wide, 1)
  const image = { images: new Uint8Array(64 ** 3), count: 1 }
  const controller = new AbortController()
  const reason = new Error('enough')
  const running = session.forward(wideModel, image, { signal: controller.signal })
  setTimeout(() => controller.abort(reason), 50)
  const started = performance.now()
  await expect(running).rejects.toBe(reason)
  expect(performance.now() - started).toBeLessThan(2000)
  await expect(session.forward(wideModel, image, { signal: AbortSignal.timeout(30) })).rejects.toThrow(/timeout/)
  session.dispose()
})

test('dispose rejects the run in progress, the queued ones and later ones', async () => {
  const session = await engine.createSession(spec, grid)
  const runs = [session.forward(model, batch), session.forward(model, batch)]
  await Promise.resolve()
  session.dispose()
  session.dispose()
  for (const run of [...runs, session.forward(model, batch)]) {
    await expect(run).rejects.toMatchObject({ code: 'ENGINE_DISPOSED' })
  }
})

test('sessions work beside each other', async () => {
  const sessions = await Promise.all([1, 2, 3].map(() => engine.createSession(spec, grid)))
  const steps = await Promise.all(
    sessions.map((session) => session.forwardBackward(model, batch, labels, loss, { seed: 0 })),
  )
  for (const step of steps) expect(step).toEqual(steps[0])
  for (const session of sessions) session.dispose()
})

test('threads that meet thousands of times do not miss each other', async () => {
  const session = await engine.createSession(spec, grid, { threads: 3 })
  for (let run = 0; run < 50; run++) await session.forwardBackward(model, batch, labels, loss, { seed: 0 })
  session.dispose()
})

test('arrays of the wrong length and labels that are no class are refused', async () => {
  const session = await engine.createSession(spec, grid)
  const refused = { code: 'ENGINE_INPUT' }
  const short = { parameters: model.parameters.slice(1), statistics: model.statistics }
  await expect(session.forward(short, batch)).rejects.toMatchObject(refused)
  await expect(session.forward({ ...model, statistics: new Float32Array(1) }, batch)).rejects.toMatchObject(refused)
  await expect(session.forward(model, { images: new Uint8Array(3), count: 1 })).rejects.toMatchObject(refused)
  await expect(session.forward(model, { ...batch, count: 0 })).rejects.toMatchObject(refused)
  await expect(session.evaluate(model, batch, labels.slice(1), loss)).rejects.toMatchObject(refused)
  await expect(session.evaluate(model, batch, labels, { ...loss, classWeights: [1] })).rejects.toMatchObject(refused)
  const unknown = session.forwardBackward(
    model,
    batch,
    labels.map((label) => label * 2),
    loss,
    { seed: 0 },
  )
  await expect(unknown).rejects.toMatchObject({ ...refused, data: { label: 4, classes: 3 } })
  expect((await session.evaluate(model, batch, labels, loss)).loss).toBeGreaterThan(0)
  session.dispose()
  await expect(engine.createSession(spec, { ...grid, width: 1.5 })).rejects.toMatchObject(refused)
  await expect(engine.createSession(spec, grid, { threads: 0 })).rejects.toMatchObject(refused)
})

test('a grid beyond the 4 GiB of 32-bit addresses is refused with the largest of its shape that fits', async () => {
  const huge = engine.createSession(MeshNetSpecSchema.parse({ channels: 20 }), { depth: 512, height: 512, width: 512 })
  const error = await huge.then(
    () => undefined,
    (reason) => reason,
  )
  expect(error).toMatchObject({ code: 'ENGINE_MEMORY' })
  expect(error.data.neededBytes).toBeGreaterThan(2 ** 32)
  const session = await engine.createSession(MeshNetSpecSchema.parse({ channels: 20 }), error.data.largestGrid)
  session.dispose()
})

test('a training step at 256^3 is planned within 3.5 GB with every tensor kept, and within 3 and 2 GB with two and five recomputed', async () => {
  const full = MeshNetSpecSchema.parse({})
  const edge = { depth: 256, height: 256, width: 256 }
  const planned = async (options: SessionOptions) => {
    const session = await engine.createSession(full, edge, options)
    session.dispose()
    return session.memory
  }
  const all = await planned({})
  expect(all).toMatchObject({ recomputedBlocks: [] })
  expect(all.plannedBytes).toBeLessThan(3.5e9)
  expect(await planned({ maxMemoryBytes: 3e9 })).toMatchObject({ recomputedBlocks: [0, 1], limitBytes: 3e9 })
  expect(await planned({ maxMemoryBytes: 2e9 })).toMatchObject({ recomputedBlocks: [0, 1, 2, 4, 5] })
  expect(await planned({ checkpointing: 'layer' })).toMatchObject({ recomputedBlocks: [0, 1, 2, 4, 5] })
  for (const maxMemoryBytes of [3e9, 2e9]) {
    expect((await planned({ maxMemoryBytes })).plannedBytes).toBeLessThan(maxMemoryBytes)
  }
})

test('a step that does not fit is refused when its session is asked for, with what would fit', async () => {
  const full = MeshNetSpecSchema.parse({})
  const edge = { depth: 128, height: 128, width: 128 }
  const refused = (options: SessionOptions) =>
    engine.createSession(full, edge, options).then(
      () => expect.fail('it fits'),
      (error) => error,
    )
  const none = await refused({ maxMemoryBytes: 3e8, checkpointing: 'none' })
  expect(none).toMatchObject({ code: 'ENGINE_MEMORY' })
  expect(none.hint).toMatch(/^what would fit: recompute layers \(checkpointing 'auto'\), which takes 2\d\d MB, or /)
  const tight = await refused({ maxMemoryBytes: 1.5e8, batchSize: 2 })
  expect(tight.message).toMatch(/^a training step on 2 x 128x128x128 voxels takes 4\d\d MB, with layers computed again/)
  expect(tight.data).toMatchObject({ largestBatch: 0, limitBytes: 1.5e8 })
  const { leastBytes, largestGrid } = tight.data
  const batch = await refused({ maxMemoryBytes: leastBytes - 1, batchSize: 2 })
  expect(batch.hint).toMatch(/take 1 volume a batch, or use a grid of .*, or allow 4\d\d MB of memory$/)
  for (const options of [
    { maxMemoryBytes: leastBytes, batchSize: 2 },
    { maxMemoryBytes: leastBytes - 1, batchSize: 1 },
    { maxMemoryBytes: 1.5e8, purpose: 'predict' } as const,
  ]) {
    ;(await engine.createSession(full, edge, options)).dispose()
  }
  ;(await engine.createSession(full, largestGrid, { maxMemoryBytes: 1.5e8, batchSize: 2 })).dispose()
  for (const options of [{ batchSize: 0 }, { batchSize: 1.5 }, { maxMemoryBytes: 0 }, { maxMemoryBytes: Number.NaN }]) {
    await expect(engine.createSession(full, edge, options)).rejects.toMatchObject({ code: 'ENGINE_INPUT' })
  }
})

test('every plan gives the same bits', async () => {
  const deep = MeshNetSpecSchema.parse({ channels: 4, dropout: 0.2 })
  const deepModel = initializeModel(deep, 3)
  const steps = []
  const all = await engine.createSession(deep, grid, { checkpointing: 'none' })
  const least = await engine.createSession(deep, grid, { checkpointing: 'layer' })
  const [most, fewest] = [all.memory.plannedBytes, least.memory.plannedBytes]
  const seen = new Set<string>()
  for (let i = 0; i <= 10; i++) {
    const maxMemoryBytes = Math.ceil(fewest + ((most - fewest) * i) / 10)
    const session = await engine.createSession(deep, grid, { maxMemoryBytes })
    seen.add(session.memory.recomputedBlocks.join())
    steps.push(await session.forwardBackward(deepModel, batch, labels, loss, { seed: 5 }))
    expect(session.memory.peakBytes).toBeLessThanOrEqual(maxMemoryBytes)
    session.dispose()
  }
  expect(seen.size).toBe(6)
  for (const step of steps) expect(step).toEqual(steps[0])
  for (const session of [all, least]) session.dispose()
})

test('every checkpointing and number of threads gives the same bits', async () => {
  const deep = MeshNetSpecSchema.parse({ channels: 6, dilations: [1, 2, 4, 2, 1, 3, 1], dropout: 0.3 })
  const deepModel = initializeModel(deep, 3)
  const two = { images: Float32Array.from({ length: 2 * voxels }, (_, i) => Math.sin(i)), count: 2 }
  const truth = Uint8Array.from({ length: 2 * voxels }, (_, i) => (i * i) % 3)
  const step = async (options: object) => {
    const session = await engine.createSession(deep, grid, options)
    try {
      return await session.forwardBackward(deepModel, two, truth, loss, { seed: 5 })
    } finally {
      session.dispose()
    }
  }
  const first = await step({ threads: 1, checkpointing: 'none' })
  for (const options of [
    { threads: 2 },
    { threads: 3, checkpointing: 'layer' },
    { threads: 1, checkpointing: 'layer' },
  ]) {
    expect(await step(options)).toEqual(first)
  }
})

test('an idle session does not keep a process alive, and a working one does not stop it from exiting', () => {
  const script = `
    const { openEngine, initializeModel } = await import('@meshfl/engine')
    const { MeshNetSpecSchema } = await import('@meshfl/core')
    const spec = MeshNetSpecSchema.parse({ channels: 20 })
    const session = await (await openEngine({ threads: 2 })).createSession(spec, { depth: 64, height: 64, width: 64 })
    const running = session.forward(initializeModel(spec, 1), { images: new Uint8Array(64 ** 3), count: 1 })
    if (process.argv[1] === 'exit') setTimeout(() => process.exit(7), 20)
    else { session.dispose(); await running.catch(() => undefined); await (await openEngine()).createSession(spec, { depth: 4, height: 4, width: 4 }) }`
  const spawn = (word: string) => {
    const options = { timeout: 20_000, stdio: 'pipe', cwd: new URL('../..', import.meta.url) } as const
    return execFileSync(process.execPath, ['--input-type=module', '-e', script, word], options)
  }
  expect(() => spawn('exit')).toThrow(expect.objectContaining({ status: 7 }))
  spawn('idle')
})

const golden = new URL('../../../../../shared/data/golden/', import.meta.url)
const present = existsSync(golden)
test.skipIf(!present)(
  `a published model gives PyTorch's logits on a crop of a real scan${present ? '' : ': no shared/data/golden here'}`,
  async () => {
    const published = MeshNetSpecSchema.parse({ activation: 'relu', normalization: 'none' })
    const floats = (name: string): Float32Array =>
      new Float32Array(new Uint8Array(readFileSync(new URL(name, golden))).buffer)
    // Its tensors stand in the order of our layout, under names that count the activations as layers too.
    const { tensors } = decodeSafetensors(readFileSync(new URL('model5_gw_ae.safetensors-named.pth', golden)))
    expect(tensors.map(({ shape }) => shape)).toEqual(modelLayout(published).parameters.map(({ shape }) => shape))
    const parameters = new Float32Array(new Uint8Array(Buffer.concat(tensors.map(({ data }) => data))).buffer)
    const logits = floats('logits.f32')
    const session = await engine.createSession(published, { depth: 40, height: 36, width: 44 })
    const result = await session.forward(
      { parameters, statistics: new Float32Array() },
      { images: floats('crop.f32'), count: 1 },
      { logits: true },
    )
    session.dispose()
    const worst = result.logits!.reduce((most, value, i) => Math.max(most, Math.abs(value - logits[i]!)), 0)
    expect(worst).toBeLessThan(1e-4)
  },
)
