import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import type { Kernels } from './kernels.js'
import { loadWasmModule } from './module.js'
import { WasmTeam } from './team.js'

test('where the system starts only some of the workers, those are ended', async () => {
  const { module } = await loadWasmModule()
  const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true })
  const kernels = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernels
  const ended: Promise<unknown>[] = []
  const make = () =>
    new WasmTeam(module, memory, kernels, 3, (file, options) => {
      if (ended.length === 2) throw new Error('EAGAIN')
      const worker = new Worker(file, options)
      ended.push(once(worker, 'exit'))
      return worker
    })
  expect(make).toThrow(
    expect.objectContaining({
      code: 'ENGINE_THREADS',
      exitCode: 3,
      message: 'the system has no room for 3 threads: EAGAIN',
      hint: 'fewer --threads, or raise the process limit',
    }),
  )
  expect(await Promise.all(ended)).toHaveLength(2)
})
