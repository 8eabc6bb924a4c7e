import { z } from 'zod'
import type { ClassCounts } from '../confusion.js'
import type { SurfaceConvention, SurfaceDistances } from '../surface/surface-distances.js'

/**
 * What a ratio is where both volumes leave it 0/0, for example the Dice of a class that is in neither: `nan` leaves the case
 * out of the mean and says so, `one` and `zero` count it as that number.
 */
export const EmptyConventionSchema = z.enum(['nan', 'one', 'zero'])
export type EmptyConvention = z.infer<typeof EmptyConventionSchema>

/** What a metric may look at: one class of one case. */
export interface MetricInput {
  counts: ClassCounts
  /** Millilitres of one voxel. */
  voxelVolumeMl: number
  empty: EmptyConvention
  /** Where surfaces were asked for; without distances where one of the volumes does not hold the class. */
  surface?: { convention: SurfaceConvention; distances: SurfaceDistances | null } | undefined
}

/** One number for one class of one case. A new metric is a file beside this one and a line in the registry. */
export interface Metric {
  /** Its key in report.json, cases.csv and gates. */
  id: string
  name: string
  /** Empty for a ratio. */
  unit: '' | 'mL' | 'mm'
  /** Which way is good. What is better when higher can have a minimum as its gate, what is better when lower a maximum. */
  better: 'higher' | 'lower' | 'zero' | 'neither'
  /** How it is computed, in one line of plain text. */
  definition: string
  of(input: MetricInput): number | null
}

/** numerator / denominator, with the convention for 0/0. */
export function ratio(numerator: number, denominator: number, empty: EmptyConvention): number | null {
  if (denominator !== 0) return numerator / denominator
  return empty === 'nan' ? null : empty === 'one' ? 1 : 0
}
