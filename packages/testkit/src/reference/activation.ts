import { assertNever, type MeshNetSpec } from '@meshfl/core'

type Activation = MeshNetSpec['activation']

/** ELU (alpha 1), ReLU or GELU (by erf), voxel by voxel. */
export function activate(kind: Activation, x: Float64Array): Float64Array {
  return x.map(functionOf(kind))
}

/** dx = dy times the derivative at x (0 at the kink of ReLU). */
export function activateBackward(kind: Activation, x: Float64Array, dy: Float64Array): Float64Array {
  const derivative = derivativeOf(kind)
  return dy.map((gradient, i) => gradient * derivative(x[i]!))
}

function functionOf(kind: Activation): (x: number) => number {
  switch (kind) {
    case 'elu':
      return (x) => (x > 0 ? x : Math.expm1(x))
    case 'relu':
      return (x) => Math.max(x, 0)
    case 'gelu':
      return (x) => x * normalCdf(x)
    default:
      return assertNever(kind)
  }
}

function derivativeOf(kind: Activation): (x: number) => number {
  switch (kind) {
    case 'elu':
      return (x) => (x > 0 ? 1 : Math.exp(x))
    case 'relu':
      return (x) => (x > 0 ? 1 : 0)
    case 'gelu':
      return (x) => normalCdf(x) + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI)
    default:
      return assertNever(kind)
  }
}

function normalCdf(x: number): number {
  return 0.5 * (1 + erf(x / Math.SQRT2))
}

/** The error function to about 1e-15: erf(x) = 2/sqrt(pi) exp(-x^2) sum over n of 2^n x^(2n+1) / (2n+1)!!, all terms of one sign. */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x)
  let term = x
  let sum = x
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1)
    sum += term
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum
}
