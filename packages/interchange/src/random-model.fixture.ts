import { type MeshNetSpec, MeshNetSpecSchema, type ModelState } from '@meshfl/core'
import { initializeModel } from '@meshfl/engine'
import fc from 'fast-check'

/** Any small network, and one with values that are not those of the start. */
export const anySpec: fc.Arbitrary<MeshNetSpec> = fc
  .record({
    classes: fc.integer({ min: 2, max: 5 }),
    channels: fc.integer({ min: 1, max: 4 }),
    dilations: fc.array(fc.integer({ min: 1, max: 16 }), { minLength: 1, maxLength: 12 }),
    activation: fc.constantFrom('elu' as const, 'relu' as const, 'gelu' as const),
    normalization: fc.constantFrom('batch' as const, 'instance' as const, 'none' as const),
    convolutionBias: fc.boolean(),
  })
  .map((spec) => MeshNetSpecSchema.parse(spec))

/** A model of a spec whose every number differs from the next. */
export function modelOf(spec: MeshNetSpec, seed: number): ModelState {
  const { parameters, statistics } = initializeModel(spec, seed)
  return {
    parameters: parameters.map((value, i) => value + Math.fround(Math.sin(i + seed))),
    statistics: statistics.map((value, i) => value + Math.fround(Math.abs(Math.cos(i + seed)))),
  }
}
