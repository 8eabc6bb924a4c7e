import { modelSha256 } from '@meshfl/core'
import { type Contribution, sortedBySite } from './aggregate.js'
import type { AuditOptions } from './audit.js'
import { encodeVectorBody } from './frame.js'
import { KeptUpdates } from './kept-updates.js'
import type { LedgerEntry } from './ledger.js'
import { takeStep } from './step-update.js'
import { STRATEGIES } from './strategies/index.js'
import type { Population, RoundOutput } from './strategies/strategy.js'

export interface Replay {
  /** Rounds, or steps, that were computed again. */
  rounds: number
  problem?: string
  /** Why it went no further, where nothing is wrong. */
  note?: string
}

/** Computes the rounds, or with `sync: step` the steps, again from the updates that were kept, as far as they go. */
export async function replayRounds(options: AuditOptions, entries: readonly LedgerEntry[]): Promise<Replay> {
  const { folder, study, layout } = options
  const { strategy, keepUpdates, sync } = study.federation
  if (!keepUpdates) return { rounds: 0 }
  const kept = new KeptUpdates(folder, layout)
  let begun: RoundOutput = { model: options.initialModel, state: null }
  for (const entry of entries) {
    const rounds = entry.round - 1
    const name = sync === 'step' ? 'step' : 'round'
    const updates = await kept.read(entry.round)
    if (!updates) return { rounds, note: `the updates of ${name} ${entry.round} are not there` }
    const contributions = sortedBySite(updates.contributions)
    const problem = compare(entry, contributions)
    if (problem !== undefined) return { rounds, problem }
    if (sync === 'step') {
      const why = whyNoStep(options, entry)
      if (why !== undefined) return { rounds, note: `from step ${entry.round} on nothing was computed again: ${why}` }
    }
    const output =
      sync === 'step'
        ? repeatStep(options, entry, contributions, begun)
        : combineRound(options, contributions, updates.population, begun)
    if (modelSha256(output.model) !== entry.result) {
      const who = sync === 'step' ? 'the optimiser' : strategy
      return { rounds, problem: `${who} makes another model of the updates than the ledger names` }
    }
    begun = output
  }
  return { rounds: entries.length }
}

/** What of the kept updates is not as the sites signed it. */
function compare({ sites }: LedgerEntry, contributions: readonly Contribution[]): string | undefined {
  if (contributions.length !== sites.length)
    return `${contributions.length} updates were kept, the ledger has ${sites.length}`
  for (const { site, update, samples, vectorSha256 } of sites) {
    const found = contributions.find((contribution) => contribution.site === site)
    const isRight =
      found !== undefined &&
      found.samples === samples &&
      modelSha256(found.model) === update &&
      (found.vector && encodeVectorBody(found.vector).vectorSha256) === vectorSha256
    if (!isRight) return `the update of ${site} that was kept is not the ledger’s`
  }
  return undefined
}

function combineRound(
  { study, layout }: AuditOptions,
  contributions: readonly Contribution[],
  population: Population,
  { model, state }: RoundOutput,
): RoundOutput {
  const { strategy, strategyOptions, batchNorm } = study.federation
  return STRATEGIES[strategy].combine({
    ...{ layout, base: model, contributions, batchNorm, options: strategyOptions, state, population },
  })
}

/**
 * A step needs what no update says: the optimiser, how many steps a round has, and how many voxels each site's batch had. A coordinator of
 * this version takes no step without the last; one of an earlier version did.
 */
function whyNoStep({ stepOptimizer }: AuditOptions, { round, steps, sites }: LedgerEntry): string | undefined {
  if (!stepOptimizer) return 'there is no optimiser to take the steps again'
  if (steps === undefined) return `the ledger does not say how many steps a round has`
  const silent = sites.find(({ voxels }) => voxels === undefined)
  return silent && `${silent.site} did not sign its voxels of step ${round}, as sites of an earlier version`
}

function repeatStep(
  { study, layout, stepOptimizer }: AuditOptions,
  { round, steps, sites }: LedgerEntry,
  contributions: readonly Contribution[],
  begun: RoundOutput,
): RoundOutput {
  const voxels = new Map(sites.map((entry) => [entry.site, entry.voxels!]))
  return takeStep({
    ...{ layout, optimizer: stepOptimizer!, begun },
    contributions: contributions.map((contribution) => ({ ...contribution, voxels: voxels.get(contribution.site)! })),
    ...{ position: round - 1, total: study.rounds * steps! },
  })
}
