import { isStagnant, type SiteState } from '@meshfl/core'
import type { CoordinatorState, LeftOut, Told } from './coordinator-state.js'
import { hasShare, isPassedOver, placeIn } from './coordinator-steps.js'
import { drawOrder, fewestUpdates, sampleSize } from './sampling.js'

function isScoring(phase: CoordinatorState['phase']): boolean {
  return phase === 'evaluating' || phase === 'comparing'
}

/** What the tasks of this phase are for. */
export function purposeOf({ phase }: CoordinatorState): 'train' | 'evaluate' | undefined {
  return phase === 'training' ? 'train' : isScoring(phase) ? 'evaluate' : undefined
}

/** What a site with a task of this phase is shown as. */
export function busyState({ phase }: CoordinatorState): SiteState {
  return isScoring(phase) ? 'evaluating' : 'training'
}

/** Whether a site's answer of this phase is in. */
export function hasAnswered({ phase, evaluations, results }: CoordinatorState, site: string): boolean {
  return (isScoring(phase) ? evaluations : results).has(site)
}

/** Whether this phase still waits for a site. */
export function isPending(state: CoordinatorState, site: string): boolean {
  const reach = state.sites.get(site)?.reach
  return (
    purposeOf(state) !== undefined &&
    state.members.has(site) &&
    !hasAnswered(state, site) &&
    !state.refused.has(site) &&
    (reach === 'online' || reach === 'suspect')
  )
}

/** Whether a site can be given something to do at once. */
export function isAvailable({ sites }: CoordinatorState, site: string): boolean {
  const record = sites.get(site)
  return record !== undefined && record.session !== null && !record.progress.isStalled
}

/** Sites that are there, or were a moment ago. */
export function reachableSites({ sites }: CoordinatorState): string[] {
  return [...sites].flatMap(([site, { reach }]) => (reach === 'online' || reach === 'suspect' ? [site] : []))
}

/** Updates that the round in progress needs. */
export function quorum(state: CoordinatorState): number {
  const { config, sites } = state
  if (config.sync === 'step') {
    if (isPassedOver(state)) return 0
    const due = [...sites.keys()].filter((site) => hasShare(state, site)).length
    return Math.max(1, Math.min(config.minSites, due))
  }
  return config.sampling ? fewestUpdates(config.sampling.federation, sites.size, config.minSites) : config.minSites
}

/** The sites as they are drawn for the round after `round`. */
export function inDrawOrder({ config, sites, round }: CoordinatorState): string[] {
  return config.sampling ? drawOrder(config.sampling.seed, round + 1, [...sites.keys()]) : [...sites.keys()]
}

/** Who trains in the round after `round`: all that are there, or those that are drawn, and whoever has an update in already. */
export function roundMembers(state: CoordinatorState): Set<string> {
  const { config, sites, results } = state
  const there = new Set([...reachableSites(state).filter((site) => hasShare(state, site)), ...results.keys()])
  if (!config.sampling) return there
  const drawn = inDrawOrder(state).filter((site) => there.has(site))
  return new Set([...drawn.slice(0, sampleSize(config.sampling.federation, sites.size)), ...results.keys()])
}

/**
 * Whether a site is one of those that train in the round in progress, or, while that gathers its sites, will be: after a restart
 * those that were drawn before are drawn again, and come with what they have made. A site that was lost stays drawn.
 */
export function isDrawn(state: CoordinatorState, site: string): boolean {
  if (!state.config.sampling) return true
  return (state.phase === 'training' ? state.members : roundMembers(state)).has(site)
}

/** Why a site that was not drawn is not in a round. */
export const NOT_SAMPLED = 'not sampled'

/** Approved sites whose update is not in this round, and why. */
export function findLeftOut(state: CoordinatorState): LeftOut[] {
  const { sites, results, members, refused, config } = state
  const absent = config.sampling ? NOT_SAMPLED : 'joined during the round'
  return [...sites]
    .filter(([site]) => !results.has(site) && hasShare(state, site))
    .map(([site, { reach }]) => ({
      site,
      reason: refused.has(site) ? 'refused' : reach !== 'online' ? reach : members.has(site) ? 'late' : absent,
    }))
    .sort((a, b) => (a.site < b.site ? -1 : 1))
}

/** Whether the run ends with the round that was just scored. */
export function isFinal(state: CoordinatorState): boolean {
  const { config, evaluated, rise } = state
  const { round } = placeIn(state, state.round)
  const dice = evaluated?.dice.foregroundDice ?? null
  const isReached = config.targetDice !== null && dice !== null && dice >= config.targetDice
  return (
    round >= config.rounds || isReached || (config.earlyStop !== undefined && isStagnant(rise, round, config.earlyStop))
  )
}

/** The figures of a round that is done; `roundMs` ends with its length. */
export function roundFinished(state: CoordinatorState): Told {
  const { trained, evaluated, roundMs } = state
  const { round } = placeIn(state, state.round)
  const { rounds } = state.config
  const mean = roundMs.reduce((sum, ms) => sum + ms, 0) / roundMs.length
  return {
    type: 'round-finished',
    round,
    rounds,
    trainLoss: trained?.loss ?? null,
    trainDice: trained?.dice ?? null,
    validLoss: evaluated?.loss ?? null,
    validDice: evaluated && evaluated.cases > 0 ? evaluated.dice : null,
    parametersSha256: state.base,
    seconds: roundMs.at(-1)! / 1000,
    secondsLeft: isFinal(state) ? 0 : ((rounds - round) * mean) / 1000,
  }
}

/** Why nothing goes on: how many are missing, and what became of them. */
export function waitingWords(state: CoordinatorState, what: string, count: number): string {
  const who = [...state.sites]
    .filter(([site]) => !hasAnswered(state, site))
    .map(([site, { reach }]) => ({ site, reach: state.refused.has(site) ? 'refused' : reach }))
    .flatMap(({ site, reach }) => (reach === 'online' ? [] : [`${site} ${reach}`]))
    .sort()
  const words = `${what} has ${count} of the ${state.phase === 'training' ? quorum(state) : state.config.minSites} sites it needs and waits`
  return who.length > 0 ? `${words}: ${who.join(', ')}` : words
}
