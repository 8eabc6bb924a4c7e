import { MeshflError } from '@meshfl/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { adamStep, createAdamState, decodeAdamState, encodeAdamState } from './adam.js'

const options = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }

test('the first step moves every parameter by the learning rate against the sign of its gradient', () => {
  const parameters = new Float32Array([1, 1, 1])
  adamStep(parameters, new Float32Array([3, -0.02, 0]), createAdamState(3), options)
  expect(parameters[0]).toBeCloseTo(0.999, 6)
  expect(parameters[1]).toBeCloseTo(1.001, 6)
  expect(parameters[2]).toBe(1)
})

test('the bias correction takes the beta1 of the step, as PyTorch does', () => {
  const parameters = new Float32Array([0])
  const state = createAdamState(1)
  adamStep(parameters, new Float32Array([1]), state, { ...options, beta1: 0.95 })
  adamStep(parameters, new Float32Array([1]), state, { ...options, beta1: 0.85 })
  // m = 0.85 * 0.05 + 0.15 = 0.1925, corrected by 1 - 0.85^2 = 0.2775; v is corrected to 1
  expect(parameters[0]).toBeCloseTo(-1e-3 - (1e-3 * 0.1925) / 0.2775, 8)
})

const floats = (options: fc.FloatConstraints) => (count: number) =>
  fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, ...options }), { minLength: count, maxLength: count })

const anyState = fc.integer({ min: 0, max: 40 }).chain((count) =>
  fc.record({
    step: fc.integer({ min: 0, max: 1e9 }),
    mean: floats({})(count).map((values) => Float32Array.from(values)),
    square: floats({ min: 0 })(count).map((values) => Float32Array.from(values)),
  }),
)

test('a state survives its bytes', () => {
  fc.assert(
    fc.property(anyState, (state) => {
      const bytes = encodeAdamState(state)
      expect(decodeAdamState(bytes, state.mean.length)).toEqual(state)
      expect(encodeAdamState(decodeAdamState(bytes, state.mean.length))).toEqual(bytes)
    }),
  )
})

test('bytes that were changed are a state or an error with a code, never a crash', () => {
  fc.assert(
    fc.property(anyState, fc.nat(), fc.nat({ max: 255 }), fc.boolean(), (state, at, value, cut) => {
      const bytes = encodeAdamState(state)
      bytes[at % bytes.length] = value
      try {
        decodeAdamState(cut ? bytes.subarray(0, at % bytes.length) : bytes, state.mean.length)
      } catch (error) {
        expect(error).toBeInstanceOf(MeshflError)
      }
    }),
    { numRuns: 500 },
  )
})

test('a state of another model is refused', () => {
  const bytes = encodeAdamState(createAdamState(3))
  expect(() => decodeAdamState(bytes, 4)).toThrow(expect.objectContaining({ code: 'OPTIMIZER_STATE_INVALID' }))
})

test('lengths that differ are a mistake of ours', () => {
  expect(() => adamStep(new Float32Array(2), new Float32Array(3), createAdamState(2), options)).toThrow(RangeError)
})
