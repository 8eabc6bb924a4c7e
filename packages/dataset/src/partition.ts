import { assertNever, createRandom, MeshflError } from '@meshfl/core'
import { allocate } from './allocate.js'
import { drawDirichlet } from './dirichlet.js'
import type { Split } from './manifest.js'
import { type Partition, partitionName } from './partition-name.js'
import { sitesByValue } from './sites-by-value.js'

/** The sites of a dataset: site-1 to site-N. */
export function siteNames(sites: number): string[] {
  return Array.from({ length: sites }, (_, index) => `site-${index + 1}`)
}

/**
 * Deals the training subjects, and apart from them the validation subjects, to sites. Test subjects stay with the whole dataset and
 * get no site. Who goes where depends on the seed and the set of subjects alone, not on their order.
 * @param names of the sites; where each value is a site of its own, those of `sitesByValue`
 * @param valueBySubject the value of the partition's column for every subject, `''` where it has none: a site of its own has none of those
 */
export function partitionSubjects(
  splits: ReadonlyMap<string, Split>,
  names: readonly string[],
  partition: Partition,
  seed: number,
  valueBySubject: ReadonlyMap<string, string> = new Map(),
): Map<string, string> {
  const pools = (['train', 'valid'] as const).map((split) => ({
    split,
    subjects: [...splits]
      .filter(([, value]) => value === split)
      .map(([subject]) => subject)
      .sort(),
  }))
  switch (partition.how) {
    case 'iid':
    case 'quantity': {
      const weights =
        partition.how === 'iid'
          ? names.map(() => 1)
          : drawDirichlet(
              createRandom(seed, 'partition', 'sizes'),
              names.map(() => partition.alpha),
            )
      return new Map(
        pools.flatMap(({ split, subjects }) => {
          const shuffled = createRandom(seed, 'partition', split).shuffle(subjects)
          const counts = allocate(shuffled.length, weights)
          if (split === 'train') leaveNoneEmpty(counts)
          return inShares(shuffled, counts, names)
        }),
      )
    }
    case 'dirichlet': {
      const all = pools.flatMap(({ subjects }) => subjects)
      const values = [...new Set(all.map((subject) => valueBySubject.get(subject) ?? ''))].sort()
      const prior = values.map((value) => all.filter((subject) => (valueBySubject.get(subject) ?? '') === value).length)
      const mixtures = names.map((name) =>
        drawDirichlet(
          createRandom(seed, 'partition', 'mixture', name),
          prior.map((count) => (partition.alpha * count) / all.length),
        ),
      )
      return new Map(
        pools.flatMap(({ split, subjects }) => {
          const piles = values.map((value) =>
            createRandom(seed, 'partition', split, value).shuffle(
              subjects.filter((subject) => (valueBySubject.get(subject) ?? '') === value),
            ),
          )
          return inTurns(piles, names, mixtures, createRandom(seed, 'partition', split, 'turns').uniform)
        }),
      )
    }
    case 'by': {
      const nameOf = sitesByValue([...valueBySubject.values()].filter((value) => value !== ''))
      return new Map(
        pools.flatMap(({ subjects }) =>
          subjects.flatMap((subject): [string, string][] => {
            const name = nameOf.get(valueBySubject.get(subject) ?? '')
            return name === undefined ? [] : [[subject, name]]
          }),
        ),
      )
    }
    default:
      return assertNever(partition)
  }
}

/** Gives a share of nothing one of the greatest, as long as there is one to give. */
function leaveNoneEmpty(counts: number[]): void {
  for (const [index, count] of counts.entries()) {
    const greatest = counts.indexOf(Math.max(...counts))
    if (count > 0 || counts[greatest]! < 2) continue
    counts[greatest]!--
    counts[index]!++
  }
}

function inShares(subjects: readonly string[], counts: readonly number[], names: readonly string[]) {
  let next = 0
  return names.flatMap((name, index): [string, string][] => {
    const share = subjects.slice(next, next + counts[index]!)
    next += counts[index]!
    return share.map((subject) => [subject, name])
  })
}

/**
 * Sites take one subject after another in turns, each from a pile drawn by its mixture among the piles that are left: with every site
 * drawn to its end in its turn, the last ones would get what the others have left over.
 */
function inTurns(
  piles: readonly string[][],
  names: readonly string[],
  mixtures: readonly (readonly number[])[],
  uniform: () => number,
): [string, string][] {
  const total = piles.reduce((sum, pile) => sum + pile.length, 0)
  return Array.from({ length: total }, (_, turn): [string, string] => {
    const site = turn % names.length
    const wanted = piles.map((pile, index) => (pile.length > 0 ? mixtures[site]![index]! : 0))
    // All that the site asks for may be gone, or its share of the rest too small for a double.
    const weights = wanted.some((weight) => weight > 0) ? wanted : piles.map((pile) => pile.length)
    return [piles[drawIndex(weights, uniform())]!.pop()!, names[site]!]
  })
}

/** @param weights one at least above 0 */
function drawIndex(weights: readonly number[], uniform: number): number {
  let left = uniform * weights.reduce((a, b) => a + b, 0)
  const last = weights.findLastIndex((weight) => weight > 0)
  const drawn = weights.findIndex((weight) => {
    left -= weight
    return left < 0
  })
  return drawn < 0 ? last : drawn // rounding may leave a little beyond the last
}

/** @throws MeshflError `SITES_INVALID`, `PARTITION_INVALID` where there is no number of sites and the partition needs one */
export function checkSites(sites: number | undefined, partition: Partition): void {
  if (sites === undefined && (partition.how === 'quantity' || partition.how === 'dirichlet')) {
    throw new MeshflError(
      'PARTITION_INVALID',
      `${partitionName(partition)} deals subjects to sites, and there are none`,
      {
        kind: 'usage',
        hint: 'say with --sites how many there are',
      },
    )
  }
  if (sites === undefined || (Number.isInteger(sites) && sites >= 1)) return
  throw new MeshflError('SITES_INVALID', `${sites} is no number of sites`, {
    kind: 'usage',
    hint: 'give a whole number from 1 on, or leave --sites out for one dataset',
  })
}
