import { createRandom, MeshflError } from '@meshfl/core'
import { allocateStrata } from './allocate-strata.js'
import type { Split } from './manifest.js'

export const SPLITS: readonly Split[] = ['train', 'valid', 'test']

/**
 * Gives every subject a split. The counts are exact (largest remainder); who goes where depends on the seed and the set of
 * subjects alone, not on their order. A subject that comes or goes shifts the draws of all: who is left out of a dataset is
 * to be among them.
 * @param ratios weights of train, valid, test: 0.75,0.15,0.1 and 75,15,10 mean the same
 * @param stratumBySubject strata whose parts are to be as even as the counts allow; without it there is one
 * @throws MeshflError `RATIOS_INVALID`
 */
export function splitSubjects(
  subjects: Iterable<string>,
  ratios: readonly [number, number, number],
  seed: number,
  stratumBySubject?: ReadonlyMap<string, string>,
): Map<string, Split> {
  checkRatios(ratios)
  const parts = dealEvenly(subjects, ratios, seed, 'split', stratumBySubject)
  return new Map(parts.flatMap((part, index) => part.map((subject): [string, Split] => [subject, SPLITS[index]!])))
}

/**
 * Deals all subjects but those of test to folds of a cross-validation, from 0. Sizes differ by at most one; who goes where depends on
 * the seed and the set of subjects alone.
 * @param stratumBySubject strata whose parts are to be as even as the counts allow
 */
export function dealFolds(
  splits: ReadonlyMap<string, Split>,
  folds: number,
  seed: number,
  stratumBySubject?: ReadonlyMap<string, string>,
): Map<string, number> {
  const subjects = [...splits].flatMap(([subject, split]) => (split === 'test' ? [] : [subject]))
  const weights = Array.from({ length: folds }, () => 1)
  const parts = dealEvenly(subjects, weights, seed, 'folds', stratumBySubject)
  return new Map(parts.flatMap((part, fold) => part.map((subject): [string, number] => [subject, fold])))
}

/**
 * Deals subjects to as many parts as there are weights.
 * @param scope of the random draws
 */
function dealEvenly(
  subjects: Iterable<string>,
  weights: readonly number[],
  seed: number,
  scope: string,
  stratumBySubject?: ReadonlyMap<string, string>,
): string[][] {
  const sorted = [...new Set(subjects)].sort()
  const strata =
    stratumBySubject === undefined
      ? [createRandom(seed, scope).shuffle(sorted)]
      : shuffledStrata(sorted, seed, scope, stratumBySubject)
  const counts = allocateStrata(
    strata.map((stratum) => stratum.length),
    weights,
  )
  return weights.map((_, part) =>
    strata.flatMap((stratum, row) => {
      const before = counts[row]!.slice(0, part).reduce((a, b) => a + b, 0)
      return stratum.slice(before, before + counts[row]![part]!)
    }),
  )
}

/** In an order of their own, for the first of several that would do as well gives way. */
function shuffledStrata(
  sorted: readonly string[],
  seed: number,
  scope: string,
  stratumBySubject: ReadonlyMap<string, string>,
): string[][] {
  const of = (subject: string): string => stratumBySubject.get(subject) ?? ''
  const names = createRandom(seed, scope, 'strata').shuffle([...new Set(sorted.map(of))].sort())
  return names.map((name) =>
    createRandom(seed, scope, 'stratum', name).shuffle(sorted.filter((subject) => of(subject) === name)),
  )
}

/** @throws MeshflError `RATIOS_INVALID` */
export function checkRatios(ratios: readonly number[]): void {
  const valid = ratios.length === 3 && ratios.every((ratio) => Number.isFinite(ratio) && ratio >= 0)
  if (valid && ratios.some((ratio) => ratio > 0)) return
  throw new MeshflError('RATIOS_INVALID', `${ratios.join(',')} are no ratios of train, valid and test`, {
    kind: 'usage',
    hint: 'give three numbers that are not negative, for example --ratios 0.75,0.15,0.1',
  })
}
