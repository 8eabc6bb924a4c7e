import { InvalidArgumentError } from 'commander'

/** A whole number between two bounds, both allowed. */
export function wholeNumberBetween(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < low || value > high)
      throw new InvalidArgumentError(`expected a whole number from ${low} to ${high}`)
    return value
  }
}
