import type { BaselineComparison } from '../baseline.js'
import { fewerSubjects } from '../by-subject.js'
import { subjectOf } from '../case-metrics.js'
import type { Report } from '../report.js'
import type { SurfaceConvention } from '../surface/surface-distances.js'
import { shorten } from './escape.js'

/** What stands where there is no number. */
export const NOTHING = '–'

/** A ratio with three decimals. */
export function ratioText(value: number | null | undefined): string {
  return value === null || value === undefined ? NOTHING : value.toFixed(3)
}

/** Millilitres: one decimal from 10 on, two below. */
export function mlText(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOTHING
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2)
}

/** Millimetres, with two decimals. */
export function mmText(value: number | null | undefined): string {
  return value === null || value === undefined ? NOTHING : value.toFixed(2)
}

/** As `mlText`, with its sign. */
export function signedMlText(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOTHING
  const text = mlText(Math.abs(value))
  return Number(text) === 0 ? text : `${value < 0 ? '−' : '+'}${text}`
}

/** A difference of ratios with its sign, and four decimals: what a gate may allow is small. */
export function signedRatioText(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOTHING
  const text = Math.abs(value).toFixed(4)
  return Number(text) === 0 ? text : `${value < 0 ? '−' : '+'}${text}`
}

/** A p-value. */
export function pText(value: number | null): string {
  if (value === null) return NOTHING
  return value < 0.001 ? '< 0.001' : value.toFixed(3)
}

/** An interval of ratios, or of differences of them. */
export function intervalText(interval: readonly [number, number] | null | undefined, isSigned = false): string {
  if (!interval) return NOTHING
  const text = isSigned ? signedRatioText : ratioText
  return `${text(interval[0])} to ${text(interval[1])}`
}

/** What a comparison is with, in words. */
export function baselineText({
  model,
  dataset,
  created,
  cases,
  onlyHere,
  onlyInBaseline,
  otherTruth,
}: BaselineComparison): string {
  const what = model
    ? `the model ${shorten(model.name, 80)} (${model.sha256.slice(0, 12)})`
    : 'predictions from a folder'
  const apart = [
    ...(onlyHere.length > 0 ? [`${onlyHere.length} only here`] : []),
    ...(onlyInBaseline.length > 0 ? [`${onlyInBaseline.length} only there`] : []),
    ...(otherTruth.length > 0 ? [`${otherTruth.length} with another truth`] : []),
  ]
  return `The baseline: ${what} on ${shorten(dataset, 80)}, scored on ${created.slice(0, 10)}; ${countText(cases.length, 'case')} in both${apart.map((one) => `, ${one}`).join('')}.`
}

/** How a comparison was made. */
export const BASELINE_METHOD =
  'Differences are here less there, case by case. Where only one of the two finds a class that is not there, the 0/0 of the other counts as 1. The interval is a 95 % bootstrap interval (BCa) of the mean difference over cases, for which whole subjects are drawn; p is of a two-sided permutation test in which all cases of a subject change their sign together, adjusted for the number of rows (Holm).'

export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** So many cases, and of how many subjects where those are fewer. */
export function casesText({ cases, subjects }: { cases: number; subjects?: number | undefined }): string {
  return `${countText(cases, 'case')}${subjects === undefined ? '' : ` of ${countText(subjects, 'subject')}`}`
}

/** All cases of a report, also those that have no Dice. */
export function reportCasesText({ cases }: Pick<Report, 'cases'>): string {
  return casesText({ cases: cases.length, ...fewerSubjects(cases.map(subjectOf)) })
}

/** The name of the reference's mean, never to be taken for the foreground mean: `three-class mean (with background)`. */
export function meshflDiceName(report: Report): string {
  const words = ['', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve']
  const n = report.classes.length
  return `${words[n] ?? n}-class mean (with background)`
}

/** What the convention for 0/0 means, in words. */
export function emptyText(report: Report): string {
  switch (report.conventions.empty) {
    case 'nan':
      return 'A ratio that is 0/0, such as the Dice of a class that is in neither volume, is left out of the means.'
    case 'one':
      return 'A ratio that is 0/0, such as the Dice of a class that is in neither volume, counts as 1.'
    case 'zero':
      return 'A ratio that is 0/0, such as the Dice of a class that is in neither volume, counts as 0.'
  }
}

/** The name of NSD with its tolerance. */
export function nsdName({ toleranceMm }: SurfaceConvention): string {
  return `NSD at ${toleranceMm} mm`
}

/** How surfaces were measured, in words. */
export function surfaceText({ kind, toleranceMm }: SurfaceConvention): string {
  const what =
    kind === 'surfel'
      ? "Surfaces are elements between voxels, each with the weight of its area in mm² (surfel, as DeepMind's surface-distance)"
      : 'Surfaces are the voxels that touch another class with a face, each with the same weight (voxel, as MONAI and MetricsReloaded)'
  return `${what}; NSD counts what lies within ${toleranceMm} mm. A class that is in one of the volumes only has no distance, and NSD 0; one in neither has no distance, and NSD 0/0. A distance that is not there is left out of the means.`
}

/** Why a second evaluation of the same model on the test split is marked. */
export function repeatedText(report: Report): string {
  return `This is evaluation no. ${report.evaluations} of this model on the test split. Figures that were looked at before are no longer those of unseen data.`
}

export const DISCLAIMER = 'For research. Not a medical device: not for diagnosis or treatment.'
