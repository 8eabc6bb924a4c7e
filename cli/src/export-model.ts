import { basename, dirname, join } from 'node:path'
import {
  assertNever,
  describeModel,
  encodeModel,
  type MeshNetSpec,
  type ModelState,
  writeFileAtomic,
  writePairAtomic,
} from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import { type Axes, encodeOnnx, encodeTfjs, torchOfModel, turnModel } from '@meshfl/interchange'
import { checkModelOut } from './check-model-out.js'
import { openTrainedModel } from './trained-model.js'

export interface ExportRequest {
  format: 'pth' | 'onnx' | 'safetensors' | 'brainchop'
  out: string
  axes?: Axes
  force?: boolean
}

/**
 * Writes a trained model for other tools.
 * @returns the hash of the model, and the order of axes that was written
 * @throws MeshflError `MODEL_FILE_EXISTS`, `PATH_NOT_WRITABLE`, those of `openTrainedModel` and `writeFileAtomic`
 */
export async function exportModel(path: string, request: ExportRequest): Promise<{ sha256: string; axes: Axes }> {
  checkModelOut(request.out, request.force)
  const { spec, state, sha256, data } = await openTrainedModel(path)
  const axes = request.axes ?? (request.format === 'safetensors' ? 'zyx' : 'xyz')
  const turned = axes === 'zyx' ? state : turnModel(spec, state)
  const metadata = { ...describeModel(spec, data), 'meshfl.axes': axes }
  if (request.format === 'brainchop') {
    const weightsFile = `${basename(request.out, '.json')}.bin`
    const weightsPath = join(dirname(request.out), weightsFile)
    checkModelOut(weightsPath, request.force)
    const shape = data.conform?.shape ?? [256, 256, 256]
    const { model, weights } = encodeTfjs(spec, turned, {
      weightsFile,
      shape: axes === 'xyz' ? shape : (shape.toReversed() as typeof shape),
      metadata: (folded) => ({ ...metadata, ...describeModel(folded, data) }),
    })
    // A model.json of before must not come to lie beside weights that are not its own.
    await writePairAtomic({ path: weightsPath, data: weights }, { path: request.out, data: model })
  } else await writeFileAtomic(request.out, encodeAs(request.format, spec, turned, metadata))
  return { sha256, axes }
}

function encodeAs(
  format: Exclude<ExportRequest['format'], 'brainchop'>,
  spec: MeshNetSpec,
  state: ModelState,
  metadata: Record<string, string>,
): Uint8Array {
  switch (format) {
    case 'pth':
      return torchOfModel(spec, state, metadata)
    case 'safetensors':
      return encodeModel(modelLayout(spec), state, metadata)
    case 'onnx':
      return encodeOnnx(spec, state, { metadata, description: describeInput(metadata['meshfl.axes']!) })
    default:
      return assertNever(format)
  }
}

const describeInput = (axes: string): string =>
  `MeshNet, exported by meshfl for research; not a medical device. image: a conformed volume of 8 bits divided by 255, so values from 0 to 1, its axes (D, H, W) in the order ${axes}. logits: the largest one is the class.`
