import type { Rgba } from './png.js'

/** A class's colour on the dark slices, and as ink on a light and on a dark page. */
export interface ClassColour {
  overlay: string
  light: string
  dark: string
}

/**
 * After Okabe and Ito (2008), told apart with any kind of colour vision; blue and orange, the safest pair, come first. The
 * second and third of each are the same hue with enough contrast on white and on dark.
 */
export const CLASS_COLOURS: readonly ClassColour[] = [
  { overlay: '#56b4e9', light: '#0072b2', dark: '#56b4e9' },
  { overlay: '#f0a020', light: '#c25e00', dark: '#f0a020' },
  { overlay: '#2fc79a', light: '#00805e', dark: '#2fc79a' },
  { overlay: '#e08fc0', light: '#a8487f', dark: '#e08fc0' },
  { overlay: '#f0e442', light: '#857a00', dark: '#f0e442' },
  { overlay: '#8f9bff', light: '#4a55c8', dark: '#8f9bff' },
  { overlay: '#ff7b5a', light: '#b5381a', dark: '#ff7b5a' },
]

/** The colour of a class by its index; background (0) has none. With many classes they come round again. */
export function classColour(index: number): ClassColour {
  return CLASS_COLOURS[(index - 1) % CLASS_COLOURS.length]!
}

/** What a voxel can be wrong about. Three lightnesses, so that they differ without colour too. */
export const ERROR_KINDS = [
  { name: 'missed', meaning: 'a class in the truth, background in the prediction', colour: '#e8489c' },
  { name: 'extra', meaning: 'background in the truth, a class in the prediction', colour: '#ffe14d' },
  { name: 'mixed up', meaning: 'one class in the truth, another in the prediction', colour: '#45d0e0' },
] as const

export function rgba(hex: string, alpha: number): Rgba {
  const value = Number.parseInt(hex.slice(1), 16)
  return [value >> 16, (value >> 8) & 255, value & 255, alpha]
}
