import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { encodeModel } from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import { type GoldenCase, readGoldenCases } from '@meshfl/testkit'
import { describe, expect, test } from 'vitest'
import { bin, temporaryFolder } from '../e2e/cli.js'
import { openPeers, runPython } from './peers.js'

/** Networks of every activation and normalisation, and PyTorch's logits of them. */
const cases = readGoldenCases(fileURLToPath(new URL('../../fixtures/golden', import.meta.url)))

/** Exports a case by the command line; the path of the file. */
function exportCase({ name, spec, model }: GoldenCase, format: string, ...options: string[]): string {
  const folder = temporaryFolder('exported')
  const file = join(folder, `${name}.safetensors`)
  writeFileSync(
    file,
    encodeModel(modelLayout(spec), model, { 'meshfl.spec': JSON.stringify(spec), 'meshfl.data': '{}' }),
  )
  const out = join(folder, `${name}.${format}`)
  execFileSync(process.execPath, [bin, 'export', file, '--format', format, '--out', out, ...options])
  return out
}

const largestDifference = (a: Float32Array, b: Float32Array): number =>
  a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0)

const { python, runtime } = openPeers()
describe('onnxruntime computes of an exported model what PyTorch computed of it', () => {
  if (!runtime) test.skip('onnxruntime-node is not here: name its folder with MESHFL_ONNXRUNTIME', () => undefined)
  else {
    test.each(cases)('$name', async (golden) => {
      const session = await runtime.InferenceSession.create(
        Uint8Array.from(readFileSync(exportCase(golden, 'onnx', '--axes', 'zyx'))),
      )
      const { depth, height, width } = golden.grid
      const voxels = Float32Array.from(golden.batch.images, (value) => value / 255)
      const image = new runtime.Tensor('float32', voxels, [golden.batch.count, 1, depth, height, width])
      const { logits } = await session.run({ image })
      expect(logits!.dims).toEqual([golden.batch.count, golden.spec.classes, depth, height, width])
      const scale = golden.logits.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1)
      expect(largestDifference(logits!.data, golden.logits) / scale).toBeLessThan(1e-5)
    })
  }
})

/** Loads a state dict by names into the network that fixtures/torch/make_torch.py describes, and prints its logits. */
const SCRIPT = `
import base64, json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np, torch
from make_torch import MeshNet
spec, grid = json.loads(sys.argv[3]), json.loads(sys.argv[4])
net = MeshNet(spec["channels"], spec["dilations"], spec["classes"])
net.load_state_dict(torch.load(sys.argv[2], map_location="cpu"), strict=True)
image = np.frombuffer(base64.b64decode(sys.argv[5]), dtype="<f4").reshape(grid)
axes = (2, 1, 0) if sys.argv[6] == "xyz" else (0, 1, 2)
with torch.no_grad():
    logits = net.eval()(torch.from_numpy(image.transpose(axes).copy())[None, None])[0].numpy()
logits = logits.transpose((0, *(1 + axis for axis in axes)))
print(base64.b64encode(np.ascontiguousarray(logits, dtype="<f4").tobytes()).decode("ascii"))
`

describe('PyTorch loads an exported state dict, every key of it, and computes the same', () => {
  if (!python) test.skip('no python3 with PyTorch is here: name one with MESHFL_PYTHON', () => undefined)
  else {
    test.each(['zyx', 'xyz'])('given volumes of axes %s', (axes) => {
      const golden = cases.find(({ name }) => name === 'default')!
      const { depth, height, width } = golden.grid
      const voxels = depth * height * width
      const image = Float32Array.from(golden.batch.images.subarray(0, voxels), (value) => value / 255)
      const printed = runPython(python, SCRIPT, [
        fileURLToPath(new URL('../../fixtures/torch', import.meta.url)),
        exportCase(golden, 'pth', '--axes', axes),
        JSON.stringify(golden.spec),
        JSON.stringify([depth, height, width]),
        Buffer.from(image.buffer).toString('base64'),
        axes,
      ])
      const logits = new Float32Array(Uint8Array.from(Buffer.from(printed, 'base64')).buffer)
      const truth = golden.logits.subarray(0, golden.spec.classes * voxels)
      const scale = truth.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1)
      expect(largestDifference(logits, truth) / scale).toBeLessThan(1e-5)
    })
  }
})
