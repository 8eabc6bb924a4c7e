import { parentPort } from 'node:worker_threads'
import { loadVolume } from '../dist/load-volume.js'

/** The thread of `createVolumeReader`: volumes in the order asked for, each handed over without a copy on the other side. */
let last = Promise.resolve()
parentPort?.on('message', ({ id, request }) => {
  last = last.then(() => answer(id, request))
})

async function answer(id, request) {
  try {
    const { voxels, affine } = await loadVolume(request)
    // A view into a larger buffer, perhaps one of Node's pool, cannot be handed over.
    const own = voxels.slice()
    parentPort?.postMessage({ id, volume: { voxels: own, affine } }, [own.buffer])
  } catch (error) {
    const { code, message, kind, hint, data } = error
    const failure =
      error?.name === 'MeshflError' ? { code, message, kind, hint, data } : { message: error?.stack ?? String(error) }
    parentPort?.postMessage({ id, failure })
  }
}
