import { describeModel, encodeModel, writeFileAtomic } from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import { type Axes, torchOfModel, turnModel } from '@meshfl/interchange'
import { refuseExisting } from './refuse-existing.js'
import { openTrainedModel } from './trained-model.js'

export interface ExportRequest {
  format: 'pth' | 'safetensors'
  out: string
  axes?: Axes
  force?: boolean
}

/**
 * Writes a trained model for other tools.
 * @returns the hash of the model, and the order of axes that was written
 * @throws MeshflError `MODEL_FILE_EXISTS`, those of `openTrainedModel` and `writeFileAtomic`
 */
export async function exportModel(path: string, request: ExportRequest): Promise<{ sha256: string; axes: Axes }> {
  refuseExisting(request.out, request.force)
  const { spec, state, sha256, data } = await openTrainedModel(path)
  const axes = request.axes ?? (request.format === 'safetensors' ? 'zyx' : 'xyz')
  const turned = axes === 'zyx' ? state : turnModel(spec, state)
  const metadata = { ...describeModel(spec, data), 'meshfl.axes': axes }
  await writeFileAtomic(
    request.out,
    request.format === 'pth' ? torchOfModel(spec, turned, metadata) : encodeModel(modelLayout(spec), turned, metadata),
  )
  return { sha256, axes }
}
