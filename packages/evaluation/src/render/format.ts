import type { Report } from '../report.js'

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

/** As `mlText`, with its sign. */
export function signedMlText(value: number | null | undefined): string {
  if (value === null || value === undefined) return NOTHING
  const text = mlText(Math.abs(value))
  return Number(text) === 0 ? text : `${value < 0 ? '−' : '+'}${text}`
}

export function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
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

/** Why a second evaluation of the same model on the test split is marked. */
export function repeatedText(report: Report): string {
  return `This is evaluation no. ${report.evaluations} of this model on the test split. Figures that were looked at before are no longer those of unseen data.`
}

export const DISCLAIMER = 'For research. Not a medical device: not for diagnosis or treatment.'
