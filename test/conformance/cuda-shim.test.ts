import { MeshNetSpecSchema } from '@meshfl/core'
import { type Engine, initializeModel } from '@meshfl/engine'
import { describe, expect, test } from 'vitest'
import { type Addon, loadAddon } from '../../packages/engine/src/native/addon.js'
import { CudaEngine } from '../../packages/engine/src/native/cuda-engine.js'
import { openCudaShim, shimFile } from './cuda-shim.js'

const found = await openCudaShim()
const missing = 'missing' in found ? found.missing : ''

// What the conformance suite, which runs on it too, does not ask of other engines.
describe.skipIf(missing !== '')(`the cuda engine, compiled for this CPU${missing && `: not here: ${missing}`}`, () => {
  const { engine, addon } = found as { engine: Engine; addon: Addon }
  const spec = MeshNetSpecSchema.parse({ dilations: [1, 2], channels: 3 })
  const grid = { depth: 4, height: 5, width: 9 }
  const model = initializeModel(spec, 1)
  const loss = { classWeights: [1, 1, 1], labelSmoothing: 0 }
  const volume = (seed: number) => ({
    images: Uint8Array.from({ length: 180 }, (_, i) => (i * seed) % 256),
    labels: Uint8Array.from({ length: 180 }, (_, i) => (i * seed) % 3),
  })
  const [first, second] = [volume(7), volume(11)]

  async function steps(options: { maxMemoryBytes?: number }, keys: [number?, number?]) {
    const session = await engine.createSession(spec, grid, options)
    const results = []
    for (const [i, { images, labels }] of [first, second].entries()) {
      const key = keys[i]
      const batch = { images, count: 1, ...(key === undefined ? {} : { key }) }
      results.push((await session.forwardBackward(model, batch, labels, loss, { seed: 0 })).gradients)
    }
    session.dispose()
    return results
  }

  test('volumes that a key names are read once, and those of another key are others', async () => {
    const [one, other] = await steps({}, [])
    expect(await steps({}, [1, 2])).toEqual([one, other])
    expect(await steps({}, [1, 1])).toEqual([one, one])
  })

  test('with a limit on the memory nothing is kept beside the plan', async () => {
    const [one, other] = await steps({}, [])
    expect(await steps({ maxMemoryBytes: 1e8 }, [1, 1])).toEqual([one, other])
  })

  test('a key that is no whole number above 0 is refused', async () => {
    for (const key of [0, -1, 1.5, 2 ** 32]) {
      await expect(steps({}, [key])).rejects.toMatchObject({ code: 'ENGINE_INPUT' })
    }
  })

  test('a GPU that is not there is refused with those that are', () => {
    expect(() => new CudaEngine(addon, { device: 7 }, 'cuda-shim')).toThrow(
      expect.objectContaining({ code: 'ENGINE_UNAVAILABLE', hint: expect.stringContaining('cuda:0') }),
    )
  })

  test('a training step at 256^3 is planned in 3.5 GB, and in less than 2 GB when it must be', async () => {
    const edge = { depth: 256, height: 256, width: 256 }
    const planned = async (maxMemoryBytes: number) => {
      const session = await engine.createSession(MeshNetSpecSchema.parse({}), edge, { maxMemoryBytes })
      session.dispose()
      return session.memory
    }
    expect((await planned(3.5e9)).recomputedBlocks).toEqual([])
    expect((await planned(2e9)).plannedBytes).toBeLessThan(2e9)
  })

  test('no command can take it for a GPU', async () => {
    expect(await loadAddon('cuda', shimFile)).toMatchObject({ reason: expect.stringContaining('without that backend') })
  })
})
