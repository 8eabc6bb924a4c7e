import {
  describeModel,
  encodeModel,
  type MeshNetSpec,
  MeshNetSpecSchema,
  type ModelState,
  modelSha256,
} from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { assembleModel } from './assemble-model.js'
import { type Axes, turnModel } from './axes.js'
import { encodeOnnx } from './onnx/encode-onnx.js'
import { anySpec, modelOf } from './random-model.fixture.js'
import { decodeModelOf } from './read-model.js'
import { torchOfModel } from './torch-of-model.js'

const FORMATS: Record<string, (spec: MeshNetSpec, state: ModelState, metadata: Record<string, string>) => Uint8Array> =
  {
    torch: torchOfModel,
    onnx: (spec, state, metadata) => encodeOnnx(spec, state, { metadata }),
    safetensors: (spec, state, metadata) => encodeModel(modelLayout(spec), state, metadata),
  }

test.each(Object.keys(FORMATS))('%s: what is exported is imported, to the bit, for either order of axes', (format) => {
  fc.assert(
    fc.property(anySpec, fc.nat(100), fc.constantFrom<Axes>('xyz', 'zyx'), (spec, seed, axes) => {
      const state = modelOf(spec, seed)
      const turned = axes === 'zyx' ? state : turnModel(spec, state)
      const bytes = FORMATS[format]!(spec, turned, describeModel(spec, {}))
      const read = decodeModelOf(bytes, 'a file')
      expect(read.format).toBe(format)
      const told = MeshNetSpecSchema.parse(JSON.parse(read.metadata['meshfl.spec']!))
      const back = assembleModel(read.parts, told, axes, 'a file')
      expect(back.spec).toEqual(spec)
      expect(modelSha256(back.state)).toBe(modelSha256(state))
      expect(back.assumed).toEqual([])
    }),
    { numRuns: 60 },
  )
})

test('the same model gives the same bytes', () => {
  const spec = MeshNetSpecSchema.parse({})
  for (const encode of Object.values(FORMATS))
    expect(Buffer.compare(encode(spec, modelOf(spec, 1), {}), encode(spec, modelOf(spec, 1), {}))).toBe(0)
})
