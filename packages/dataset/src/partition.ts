import { createRandom, MeshflError } from '@meshfl/core'
import { allocate } from './allocate.js'
import type { Split } from './manifest.js'

/** How subjects are dealt to sites. */
export type PartitionName = 'iid'

/** The sites of a dataset: site-1 to site-N. */
export function siteNames(sites: number): string[] {
  return Array.from({ length: sites }, (_, index) => `site-${index + 1}`)
}

/**
 * Deals the training subjects, and apart from them the validation subjects, to sites in equal shares. Test subjects stay
 * with the whole dataset and get no site.
 * @param sites at least 1
 */
export function partitionSubjects(
  splits: ReadonlyMap<string, Split>,
  sites: number,
  _partition: PartitionName,
  seed: number,
): Map<string, string> {
  const names = siteNames(sites)
  const siteOf = new Map<string, string>()
  for (const split of ['train', 'valid'] as const) {
    const subjects = [...splits].filter(([, value]) => value === split).map(([subject]) => subject)
    const shuffled = createRandom(seed, 'partition', split).shuffle(subjects.sort())
    const counts = allocate(
      shuffled.length,
      names.map(() => 1),
    )
    let next = 0
    for (const [index, name] of names.entries()) {
      for (const subject of shuffled.slice(next, next + counts[index]!)) siteOf.set(subject, name)
      next += counts[index]!
    }
  }
  return siteOf
}

/** @throws MeshflError `SITES_INVALID` */
export function checkSites(sites: number): void {
  if (Number.isInteger(sites) && sites >= 1) return
  throw new MeshflError('SITES_INVALID', `${sites} is no number of sites`, {
    kind: 'usage',
    hint: 'give a whole number from 1 on, or leave --sites out for one dataset',
  })
}

/**
 * Refuses to leave a site with nothing to train on.
 * @throws MeshflError `DATASET_TOO_FEW_SUBJECTS`
 */
export function checkTrainingSubjects(splits: ReadonlyMap<string, Split>, sites: number): void {
  const subjects = [...splits.values()].filter((split) => split === 'train').length
  if (subjects >= sites) return
  throw new MeshflError(
    'DATASET_TOO_FEW_SUBJECTS',
    `${subjects} of ${splits.size} subjects are for training, and ${sites} sites need one each at least`,
    {
      hint: 'ask for fewer --sites, add subjects, or give train a larger part with --ratios',
      data: { subjects: splits.size, training: subjects, sites },
    },
  )
}

/**
 * Refuses to leave a dataset, or a site, with nothing to train on because its subjects were left out.
 * @param dealt all subjects of the source
 * @param splits the subjects that can be used
 * @throws MeshflError `DATASET_TOO_FEW_SUBJECTS`
 */
export function checkSitesTrain(
  dealt: ReadonlyMap<string, Split>,
  splits: ReadonlyMap<string, Split>,
  siteOf: ReadonlyMap<string, string>,
  names: readonly string[],
): void {
  const isInTrain = (split: Split): boolean => split === 'train'
  if ([...dealt.values()].some(isInTrain) && ![...splits.values()].some(isInTrain)) {
    throw new MeshflError(
      'DATASET_TOO_FEW_SUBJECTS',
      'there is nothing to train on: all subjects dealt there were left out',
      {
        hint: 'mend their files and run the same command again, or choose another --seed',
      },
    )
  }
  const training = new Set([...splits].filter(([, split]) => split === 'train').map(([subject]) => siteOf.get(subject)))
  const without = names.filter((name) => !training.has(name))
  if (without.length === 0) return
  throw new MeshflError(
    'DATASET_TOO_FEW_SUBJECTS',
    `${without.join(', ')} would have nothing to train on: the subjects dealt there were left out`,
    {
      hint: 'mend their files and run the same command again, or ask for fewer --sites',
      data: { sites: without },
    },
  )
}
