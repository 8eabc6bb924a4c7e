import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Engine, SessionOptions } from '../engine.js'
import { openEngine, probeEngines } from '../open-engine.js'
import { batch, grid, labels, loss, model, spec, voxels } from '../small-model.fixture.js'

for (const { name, available, reason } of await probeEngines()) {
  if (available) describe(`a session of the ${name} engine`, async () => behaves(await openEngine({ device: name })))
  else describe.skip(`a session of the ${name} engine: not here: ${reason}`, () => undefined)
}

function behaves(engine: Engine): void {
  const refused = (words: string) => ({ code: 'ENGINE_INPUT', message: expect.stringContaining(words) })

  test('a spec that no model can have is refused, with what is wrong with it', async () => {
    for (const wrong of [{ channels: 65 }, { dilations: [] }, { dropout: 1 }, { activation: 'tanh' }]) {
      await expect(engine.createSession({ ...spec, ...wrong } as typeof spec, grid)).rejects.toMatchObject({
        code: 'MODEL_UNSUPPORTED',
        message: expect.stringMatching(`^the model's ${Object.keys(wrong)} cannot be had: `),
      })
    }
  })

  test('numbers beyond 32 bits are refused, not taken for what is left of them', async () => {
    const batchSize = 2 ** 32 + 1
    await expect(engine.createSession(spec, grid, { batchSize })).rejects.toMatchObject(refused(String(batchSize)))
    for (const wrong of [{ depth: 2 ** 32 + 8 }, { width: 2 ** 53 }, { height: undefined as unknown as number }]) {
      await expect(engine.createSession(spec, { ...grid, ...wrong })).rejects.toMatchObject(refused("the grid's"))
    }
  })

  test('arrays of another type are refused, and the session goes on', async () => {
    const session = await engine.createSession(spec, grid)
    const as = <T>(value: unknown): T => value as T
    const wrong: [Promise<unknown>, string][] = [
      [
        session.forward(model, { count: 1, images: as(Uint16Array.from(batch.images)) }),
        'images is of type Uint16Array',
      ],
      [
        session.forward({ ...model, parameters: as(Float64Array.from(model.parameters)) }, batch),
        'parameters is of type',
      ],
      [session.forward({ ...model, statistics: as([...model.statistics]) }, batch), 'statistics is of type Array'],
      [session.evaluate(model, batch, as(undefined), loss), 'labels is of type Undefined, not Uint8Array'],
      [session.evaluate(model, batch, as(Int32Array.from(labels)), loss), 'labels is of type Int32Array'],
    ]
    for (const [run, words] of wrong) await expect(run).rejects.toMatchObject(refused(words))
    expect((await session.forward(model, batch)).labels).toHaveLength(voxels)
    session.dispose()
  })

  test('an array that was handed to another thread while its run waited is refused', async () => {
    const session = await engine.createSession(spec, grid)
    const step = (images: Uint8Array) => session.forwardBackward(model, { images, count: 1 }, labels, loss, { seed: 0 })
    const expected = await step(batch.images)
    const images = batch.images.slice()
    const runs = [step(batch.images), step(images)]
    structuredClone(images, { transfer: [images.buffer] })
    await expect(runs[1]).rejects.toMatchObject(refused('images holds 0 values'))
    expect(await runs[0]).toEqual(expected)
    session.dispose()
  })

  test('the most volumes that fit are those that counting down finds, and are soon found below a million', async () => {
    const planned = async (options: SessionOptions) => {
      const session = await engine.createSession(spec, grid, { threads: 1, ...options })
      session.dispose()
      return session.memory.plannedBytes
    }
    const largestBatch = (options: SessionOptions): Promise<number> =>
      planned(options).then(
        () => options.batchSize!,
        (error) => error.data.largestBatch,
      )
    const [one, eight] = [await planned({ batchSize: 1 }), await planned({ batchSize: 8 })]
    await fc.assert(
      fc.asyncProperty(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 10 }),
        async (share, most) => {
          const maxMemoryBytes = Math.ceil(one / 2 + share * eight)
          let counted = most
          while (counted > 0 && (await largestBatch({ batchSize: counted, maxMemoryBytes })) < counted) counted--
          expect(await largestBatch({ batchSize: most, maxMemoryBytes })).toBe(counted)
        },
      ),
      { numRuns: 12 },
    )
    const begun = performance.now()
    expect(await largestBatch({ batchSize: 1_000_000, maxMemoryBytes: eight })).toBeGreaterThanOrEqual(8)
    expect(performance.now() - begun).toBeLessThan(2000)
  })
}
