import { createRandom, MeshflError } from '@meshfl/core'
import { allocate } from './allocate.js'
import type { Split } from './manifest.js'

export const SPLITS: readonly Split[] = ['train', 'valid', 'test']

/**
 * Gives every subject a split. The counts are exact (largest remainder); who goes where depends on the seed and the set of
 * subjects alone, not on their order. A subject that comes or goes shifts the draws of all: who is left out of a dataset is
 * to be among them.
 * @param ratios weights of train, valid, test: 0.75,0.15,0.1 and 75,15,10 mean the same
 * @throws MeshflError `RATIOS_INVALID`
 */
export function splitSubjects(
  subjects: Iterable<string>,
  ratios: readonly [number, number, number],
  seed: number,
): Map<string, Split> {
  checkRatios(ratios)
  const shuffled = createRandom(seed, 'split').shuffle([...new Set(subjects)].sort())
  const counts = allocate(shuffled.length, ratios)
  const bySubject = new Map<string, Split>()
  let next = 0
  for (const [index, split] of SPLITS.entries()) {
    for (const subject of shuffled.slice(next, next + counts[index]!)) bySubject.set(subject, split)
    next += counts[index]!
  }
  return bySubject
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
