import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bytesOf, decodeSafetensors, MeshNetSpecSchema } from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import { expect, test } from 'vitest'
import { openEveryEngine, testMissing } from './engines.js'

/** brainchop's model5_gw_ae, a crop of its example scan, and PyTorch's logits: data that lies beside the repository where it is there. */
const folder = fileURLToPath(new URL('../../../shared/data/golden', import.meta.url))
const spec = MeshNetSpecSchema.parse({ activation: 'relu', normalization: 'none' })
const grid = { depth: 40, height: 36, width: 44 }

function readFloats(name: string): Float32Array {
  return new Float32Array(Uint8Array.from(readFileSync(join(folder, name))).buffer)
}

if (!existsSync(folder)) {
  test.skip('a published model segments as in PyTorch: not here: ../shared/data/golden', () => undefined)
} else {
  for (const candidate of await openEveryEngine()) {
    if (candidate.name === 'reference') continue // seconds of float64 for what the small cases show already
    const title = `the ${candidate.name} engine segments with a published model as PyTorch does`
    if ('engine' in candidate) {
      test(title, async () => {
        const { engine } = candidate
        const { tensors } = decodeSafetensors(readFileSync(join(folder, 'model5_gw_ae.safetensors-named.pth')))
        const parameters = new Float32Array(modelLayout(spec).parameterCount)
        let offset = 0
        for (const { data } of tensors) {
          bytesOf(parameters).set(data, offset) // the file has the order of the layout
          offset += data.byteLength
        }
        expect(offset).toBe(parameters.byteLength)
        const session = await engine.createSession(spec, grid)
        const model = { parameters, statistics: new Float32Array(0) }
        const images = readFloats('crop.f32')
        const { logits, labels } = await session.forward(model, { images, count: 1 }, { logits: true })
        session.dispose()
        const truth = readFloats('logits.f32')
        let largest = 0
        for (const [i, value] of truth.entries()) largest = Math.max(largest, Math.abs(logits![i]! - value))
        expect(largest).toBeLessThan(1e-4)
        const counts = [0, 0, 0]
        for (const label of labels) counts[label]! += 1
        expect(counts).toEqual([60636, 1170, 1554]) // the README of that data
      })
    } else testMissing(title, candidate)
  }
}
