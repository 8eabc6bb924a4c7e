import { fileURLToPath } from 'node:url'
import type { Engine, Precision } from '@meshfl/engine'
import { type Addon, loadAddon } from '../../packages/engine/src/native/addon.js'
import { CudaEngine } from '../../packages/engine/src/native/cuda-engine.js'

/** Built by `node native/build.js --shim`, which test/run.js runs first. */
export const shimFile = fileURLToPath(new URL('../../native/build/shim/Release/meshfl.node', import.meta.url))

/**
 * The CUDA engine with its kernels and its host side compiled for this CPU, so that all of it but the hardware is tested without a GPU. No
 * user gets it: its backend has a name that `openEngine` does not know.
 */
export async function openCudaShim(
  precision: Precision = 'fp32',
): Promise<{ engine: Engine; addon: Addon } | { missing: string }> {
  const found = await loadAddon('cuda-shim', shimFile)
  if (!('addon' in found)) return { missing: found.reason }
  return { engine: new CudaEngine(found.addon, { precision }, 'cuda-shim'), addon: found.addon }
}
