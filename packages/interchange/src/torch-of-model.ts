import { elementCount, type MeshNetSpec, type ModelState } from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import { encodeTorch, type TorchTensorData } from './torch/encode-torch.js'

/**
 * A model as a PyTorch state dict of `model.{block}.0` (Conv3d), `model.{block}.1` (BatchNorm3d) and `model.{blocks}` (the head), in the
 * order in which nn.Module gives them. The number of batches that a BatchNorm has seen is not kept by us, and written as 0: it counts
 * only where `momentum` is None.
 */
export function torchOfModel(spec: MeshNetSpec, state: ModelState, metadata: Record<string, string>): Uint8Array {
  const layout = modelLayout(spec)
  const statistics = new Map(layout.statistics.map((entry) => [entry.name, entry]))
  const tensors: TorchTensorData[] = []
  for (const { name, shape, offset } of layout.parameters) {
    tensors.push({ name, shape, values: state.parameters.slice(offset, offset + elementCount(shape)) })
    // Behind the weight and the bias of a BatchNorm come its buffers.
    const module = name.slice(0, name.lastIndexOf('.') + 1)
    if (!name.endsWith('.bias') || !statistics.has(`${module}running_mean`)) continue
    for (const part of ['running_mean', 'running_var']) {
      const entry = statistics.get(`${module}${part}`)!
      const values = state.statistics.slice(entry.offset, entry.offset + elementCount(entry.shape))
      tensors.push({ name: entry.name, shape: entry.shape, values })
    }
    tensors.push({ name: `${module}num_batches_tracked`, shape: [], values: new BigInt64Array(1) })
  }
  return encodeTorch(tensors, metadata)
}
