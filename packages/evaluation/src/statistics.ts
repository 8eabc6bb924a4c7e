import { z } from 'zod'
import { bcaInterval } from './bca-interval.js'
import { fewerSubjects } from './by-subject.js'
import { meanOf } from './confusion.js'

/** One number over the cases. `leftOut` counts the cases that have none; all others are null when every case was left out. */
export const StatisticSchema = z.strictObject({
  cases: z.int().min(0),
  /** Subjects that they are of, where those are fewer and an interval was asked for. */
  subjects: z.int().min(0).optional(),
  leftOut: z.int().min(0),
  mean: z.number().nullable(),
  /** Standard deviation of the sample (n - 1); null for fewer than two cases. */
  sd: z.number().nullable(),
  median: z.number().nullable(),
  min: z.number().nullable(),
  max: z.number().nullable(),
  /** 95 % confidence interval of the mean, see `bcaInterval`; null for few subjects. Of Dice only. */
  ci95: z.tuple([z.number(), z.number()]).nullable().optional(),
})
export type Statistic = z.infer<typeof StatisticSchema>

/** Mean, spread and extremes of what is not null. */
export function statisticOf(values: readonly (number | null)[]): Statistic {
  const present = values.filter((value) => value !== null).sort((a, b) => a - b)
  const mean = meanOf(present)
  const n = present.length
  return {
    cases: n,
    leftOut: values.length - n,
    mean,
    sd: mean === null || n < 2 ? null : Math.sqrt(present.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (n - 1)),
    median: n === 0 ? null : (present[(n - 1) >> 1]! + present[n >> 1]!) / 2,
    min: present[0] ?? null,
    max: present[n - 1] ?? null,
  }
}

/**
 * The same, with the interval of the mean.
 * @param subjects that the values are of, as many; default: each is of its own
 */
export function withInterval(values: readonly (number | null)[], subjects?: readonly string[]): Statistic {
  const present = values.filter((value) => value !== null)
  const whose = subjects?.filter((_, i) => values[i] !== null)
  return { ...statisticOf(values), ...(whose ? fewerSubjects(whose) : {}), ci95: bcaInterval(present, whose) }
}
