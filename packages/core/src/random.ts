import { hkdfSync } from 'node:crypto'

/** A stream of random numbers that depends on nothing but its seed and scope. */
export interface Random {
  /** An integer in [0, 2^32). */
  uint32(): number
  /** A double in [0, 1) with 53 random bits. */
  uniform(): number
  /** A draw from the standard normal distribution (Box-Muller). */
  normal(): number
  /** An integer in [0, bound), without bias. */
  integer(bound: number): number
  /** A shuffled copy (Fisher-Yates). */
  shuffle<T>(items: readonly T[]): T[]
}

/**
 * The stream named by a seed and a scope, for example `createRandom(seed, 'shuffle', round, site)`. The state of the
 * generator (sfc32, by Chris Doty-Humphrey) is HKDF-SHA256 of the seed with the scope as info, so a restarted process
 * continues with the same numbers and two scopes never share a stream.
 */
export function createRandom(seed: number, ...scope: readonly (string | number)[]): Random {
  const info = JSON.stringify(scope)
  const state = new Uint32Array(hkdfSync('sha256', String(seed), 'meshfl-random', info, 16))
  let a = state[0]!
  let b = state[1]!
  let c = state[2]!
  let counter = state[3]!
  const uint32 = (): number => {
    const result = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + result
    c |= 0
    return result >>> 0
  }
  const uniform = (): number => ((uint32() >>> 5) * 67108864 + (uint32() >>> 6)) / 9007199254740992
  let spare: number | undefined
  const normal = (): number => {
    if (spare !== undefined) {
      const value = spare
      spare = undefined
      return value
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()))
    const angle = 2 * Math.PI * uniform()
    spare = radius * Math.sin(angle)
    return radius * Math.cos(angle)
  }
  const integer = (bound: number): number => {
    const limit = Math.floor(4294967296 / bound) * bound
    let draw = uint32()
    while (draw >= limit) draw = uint32()
    return draw % bound
  }
  const shuffle = <T>(items: readonly T[]): T[] => {
    const result = [...items]
    for (let i = result.length - 1; i > 0; i--) {
      const j = integer(i + 1)
      const held = result[i]!
      result[i] = result[j]!
      result[j] = held
    }
    return result
  }
  return { uint32, uniform, normal, integer, shuffle }
}
