import { InvalidArgumentError } from 'commander'

/** A whole number of at least `minimum`, and of no more than `maximum` where there is one. */
export function wholeNumber(minimum: number, maximum?: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < minimum || value > (maximum ?? value))
      throw new InvalidArgumentError(
        maximum === undefined
          ? `expected a whole number of at least ${minimum}`
          : `expected a whole number from ${minimum} to ${maximum}`,
      )
    return value
  }
}

/** A number between two bounds, both allowed. */
export function numberBetween(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !(value >= low && value <= high))
      throw new InvalidArgumentError(`expected a number from ${low} to ${high}`)
    return value
  }
}

/** A number above zero. */
export function positiveNumber(text: string): number {
  const value = Number(text)
  if (!(value > 0) || !Number.isFinite(value)) throw new InvalidArgumentError('expected a number above 0')
  return value
}

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 } as const

/** A length of time in seconds: `90s`, `45m`, `12h`, `3d`, `1w`. */
export function timeSpan(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([smhdw])$/.exec(text.trim())
  const seconds = match ? Number(match[1]) * SECONDS[match[2] as keyof typeof SECONDS] : 0
  if (!(seconds > 0) || seconds > 10 * 366 * SECONDS.d)
    throw new InvalidArgumentError('expected a time as 45m, 12h, 3d or 1w, of ten years at most')
  return seconds
}

/** `128`, or `96,112,88`: voxels along x, y and z. */
export function volumeShape(text: string): [number, number, number] {
  const parts = text.split(/[,x]/).map(Number)
  const [x, y = x, z = x] = parts
  if (![1, 3].includes(parts.length) || ![x, y, z].every((n) => Number.isSafeInteger(n) && n! >= 8 && n! <= 1024)) {
    throw new InvalidArgumentError('expected voxels as 128, or as 96,112,88 for x, y and z (8 to 1024 each)')
  }
  return [x!, y!, z!]
}

/** Three ratios above or equal to zero: `0.75,0.15,0.1`. */
export function splitRatios(text: string): [number, number, number] {
  const parts = text.split(',').map(Number)
  const sum = parts.reduce((a, b) => a + b, 0)
  if (parts.length !== 3 || parts.some((part) => !(part >= 0)) || !(sum > 0)) {
    throw new InvalidArgumentError('expected three ratios for train, valid and test: 0.75,0.15,0.1')
  }
  return [parts[0]! / sum, parts[1]! / sum, parts[2]! / sum]
}

/** `cuda`, `cpu`, `wasm`, or one of several GPUs: `cuda:1`. */
export function deviceName(text: string): 'cuda' | 'cpu' | 'wasm' | `cuda:${number}` {
  if (text === 'cuda' || text === 'cpu' || text === 'wasm') return text
  const [, index] = /^cuda:(\d{1,3})$/.exec(text) ?? []
  if (index !== undefined) return `cuda:${Number(index)}`
  throw new InvalidArgumentError('expected cuda, cpu, wasm, or a GPU by its number such as cuda:1')
}

/** Words with commas between them, each read by `parse`: `5,15`. */
export function listOf<T>(parse: (text: string) => T): (text: string) => T[] {
  return (text) => [...new Set(text.split(',').map((word) => parse(word.trim())))]
}

/** One of some words. */
export function oneOf<T extends string>(...words: readonly T[]): (text: string) => T {
  return (text) => {
    const found = words.find((word) => word === text)
    if (found === undefined) throw new InvalidArgumentError(`expected ${words.join(' or ')}`)
    return found
  }
}
