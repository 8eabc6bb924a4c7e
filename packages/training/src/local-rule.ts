import { bytesOf, decodeSafetensors, type LocalRule, MeshflError, type NamedTensor } from '@meshfl/core'

const CONTROL = 'scaffold.control'

/** What a strategy's rule does to the steps of one round. */
export interface RuleAtWork {
  /** The gradient that the optimiser takes: the same array, changed in place, or as it is. */
  correct(gradients: Float32Array, parameters: Float32Array): void
  /** After the round: what is sent beside the model, and what is kept beside the optimiser for the next. */
  finish(): { vector?: Float32Array; kept: NamedTensor[] }
}

/**
 * Begins a round under a rule.
 * @param start the parameters that the round begins with
 * @param state what the trainer returned after the last round, or null
 * @throws MeshflError `OPTIMIZER_STATE_INVALID`
 */
export function beginRule(rule: LocalRule, start: Float32Array, state: Uint8Array | null): RuleAtWork {
  switch (rule.kind) {
    case 'plain':
      return { correct: () => undefined, finish: () => ({ kept: [] }) }
    case 'proximal':
      return proximal(rule.mu, start.slice())
    case 'scaffold':
      return scaffold(rule.control, readControl(state, start.length))
    case 'meshfl-reference':
      return lastGradient(start.length)
  }
}

/** The gradient of mu/2 |w - w_t|^2 is added. Li et al. (2020), Federated Optimization in Heterogeneous Networks, equation 2. */
function proximal(mu: number, start: Float32Array): RuleAtWork {
  return {
    correct(gradients, parameters) {
      if (mu === 0) return // adding 0 would turn a gradient of -0 into 0
      for (let i = 0; i < gradients.length; i++) gradients[i] = gradients[i]! + mu * (parameters[i]! - start[i]!)
    },
    finish: () => ({ kept: [] }),
  }
}

/**
 * Steps along g - c_i + c; c_i becomes the mean of the round's own gradients. For plain gradient descent that is option II of
 * Karimireddy et al. (2020), SCAFFOLD, algorithm 1: c_i - c + (x - y_i) / (K eta).
 *
 * It is sent as it is, not how it changed, and what it was before is no part of it: where the coordinator did not count an update,
 * the next one that counts makes it know the same c_i again.
 */
function scaffold(control: Float32Array, own: Float32Array): RuleAtWork {
  const sums = new Float64Array(own.length)
  let steps = 0
  return {
    correct(gradients) {
      steps++
      for (let i = 0; i < gradients.length; i++) {
        const gradient = gradients[i]!
        sums[i]! += gradient
        gradients[i] = gradient - own[i]! + control[i]!
      }
    },
    finish() {
      const next = Float32Array.from(sums, (sum) => sum / steps)
      const data = bytesOf(next)
      return {
        vector: next,
        kept: [{ name: CONTROL, dtype: 'F32', shape: [next.length], data }],
      }
    },
  }
}

function lastGradient(length: number): RuleAtWork {
  let last = new Float32Array(length)
  return {
    correct(gradients) {
      last = gradients.slice()
    },
    finish: () => ({ vector: last, kept: [] }),
  }
}

/** The site's control variate; 0 before its first round. */
function readControl(state: Uint8Array | null, length: number): Float32Array {
  const values = new Float32Array(length)
  if (state === null) return values
  const tensor = decodeSafetensors(state, 'optimiser state').tensors.find(({ name }) => name === CONTROL)
  if (tensor?.dtype !== 'F32' || tensor.data.byteLength !== values.byteLength) {
    throw new MeshflError('OPTIMIZER_STATE_INVALID', `the optimiser state has no control variate of ${length} floats`, {
      hint: 'start the run again in an empty folder, or give the study that it was started with',
    })
  }
  bytesOf(values).set(tensor.data)
  return values
}
