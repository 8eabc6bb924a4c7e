import { createRandom } from '@meshfl/core'
import { sumBySubject } from './by-subject.js'

/** So many subjects have every choice of signs looked at: a million. */
const MOST_EXACT_SUBJECTS = 20
const RANDOM_SIGNS = 9_999

/**
 * The two-sided p-value of a permutation test on paired differences: how often their sum would be as far from 0 if those of
 * each subject, together, had their sign by chance (Fisher, The Design of Experiments, 1935, section 21). Exact for up to 20
 * subjects, else from 9,999 seeded draws, of which the observed one is another.
 * @param subjects that the differences are of; default: each is of its own
 * @returns null without pairs
 */
export function signFlipTest(differences: readonly number[], subjects?: readonly string[]): number | null {
  const data = sumBySubject(differences, subjects).sums
  const n = data.length
  if (n === 0) return null
  const size = data.reduce((sum, x) => sum + Math.abs(x), 0)
  // Sums of the same numbers in another order may differ in their last bits, and are as far.
  const observed = Math.abs(data.reduce((sum, x) => sum + x, 0)) - 1e-12 * size
  return n <= MOST_EXACT_SUBJECTS ? exactly(data, observed) : byDraws(data, observed)
}

/** Walks through all signs in the order of a Gray code: each differs from the one before in one sign. */
function exactly(data: Float64Array, observed: number): number {
  const n = data.length
  // Of two opposite choices one is enough: the last sign stays.
  const choices = 2 ** (n - 1)
  const sign = new Float64Array(n).fill(1)
  let sum = data.reduce((total, x) => total + x, 0)
  let asFar = Math.abs(sum) >= observed ? 1 : 0
  for (let i = 1; i < choices; i++) {
    const at = Math.log2(i & -i)
    sign[at] = -sign[at]!
    sum += 2 * sign[at]! * data[at]!
    if (Math.abs(sum) >= observed) asFar++
  }
  return asFar / choices
}

function byDraws(data: Float64Array, observed: number): number {
  const random = createRandom(0, 'sign-flip-test')
  let asFar = 1
  for (let draw = 0; draw < RANDOM_SIGNS; draw++) {
    let sum = 0
    let bits = 0
    for (let i = 0; i < data.length; i++) {
      if ((i & 31) === 0) bits = random.uint32()
      sum += bits & 1 ? data[i]! : -data[i]!
      bits >>>= 1
    }
    if (Math.abs(sum) >= observed) asFar++
  }
  return asFar / (RANDOM_SIGNS + 1)
}

/** p-values adjusted for there being several (Holm, Scandinavian Journal of Statistics 6, 1979); null stays null and is none of them. */
export function holm(pValues: readonly (number | null)[]): (number | null)[] {
  const order = pValues.flatMap((p, i) => (p === null ? [] : [{ p, i }])).sort((a, b) => a.p - b.p)
  const adjusted = pValues.map((): number | null => null)
  let least = 0
  for (const [rank, { p, i }] of order.entries()) {
    least = Math.max(least, Math.min(1, (order.length - rank) * p))
    adjusted[i] = least
  }
  return adjusted
}
