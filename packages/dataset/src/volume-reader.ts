import { Worker } from 'node:worker_threads'
import { MeshflError, packageFile } from '@meshfl/core'
import { type LoadedVolume, loadVolume, type VolumeRequest } from './load-volume.js'

/** Reads volumes of a dataset, one after the other in the order asked for. */
export interface VolumeReader {
  /** @throws MeshflError `DATASET_CORRUPT` */
  load(request: VolumeRequest): Promise<LoadedVolume>
  /** Ends its thread; what was asked for and has not come is rejected. */
  close(): void
}

/** What the worker answers: the volume, or why not. */
type Answer = { id: number } & ({ volume: LoadedVolume } | { failure: Failure })

interface Failure {
  /** Absent: no MeshflError, but a fault. */
  code?: string
  message: string
  kind?: MeshflError['kind']
  hint?: string
  data?: Record<string, unknown>
}

/** Reads in the thread that asks. */
export const readHere: VolumeReader = { load: loadVolume, close: () => undefined }

/** Reads, inflates and hashes in a thread of its own, so that who asks can go on. An idle one does not keep the process alive. */
export function createVolumeReader(): VolumeReader {
  const waiting = new Map<number, { resolve(volume: LoadedVolume): void; reject(error: Error): void }>()
  let asked = 0
  let broken: Error | undefined
  const worker = new Worker(packageFile('@meshfl/dataset', 'worker/read-volumes.js', import.meta.url), {
    name: 'meshfl-volumes',
    execArgv: [],
  })
  worker.unref()
  const settle = (id: number) => {
    const asker = waiting.get(id)
    waiting.delete(id)
    if (waiting.size === 0) worker.unref()
    return asker
  }
  const fail = (error: Error): void => {
    broken ??= error
    for (const id of [...waiting.keys()]) settle(id)?.reject(broken)
  }
  worker.on('message', (answer: Answer) => {
    const asker = settle(answer.id)
    if ('volume' in answer) asker?.resolve(answer.volume)
    else asker?.reject(errorOf(answer.failure))
  })
  worker.on('error', (cause) =>
    fail(new Error(`the thread that reads volumes broke down: ${cause.message}`, { cause })),
  )
  worker.on('exit', (code) => fail(new Error(`the thread that reads volumes ended (${code})`)))
  return {
    load(request) {
      if (broken) return Promise.reject(broken)
      return new Promise((resolve, reject) => {
        const id = asked++
        waiting.set(id, { resolve, reject })
        worker.ref()
        worker.postMessage({ id, request })
      })
    },
    close() {
      fail(new Error('the reader of volumes was closed'))
      void worker.terminate()
    },
  }
}

function errorOf({ code, message, ...detail }: Failure): Error {
  return code === undefined ? new Error(message) : new MeshflError(code, message, detail)
}
