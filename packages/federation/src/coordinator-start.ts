import { modelSha256, type SiteDescription, type Study } from '@meshfl/core'
import type { CoordinatorRunOptions } from './coordinator-run.js'
import type { CoordinatorStart } from './coordinator-state.js'
import { isSampled } from './sampling.js'

/** What the coordinator's state machine begins with: the study, the sites and what is on disk. */
export function coordinatorStart(
  options: Pick<
    CoordinatorRunOptions,
    'study' | 'minSites' | 'timing' | 'saved' | 'journal' | 'admissions' | 'goodbyes'
  >,
  at: number,
): CoordinatorStart {
  const { study, minSites, timing, saved, journal, admissions, goodbyes } = options
  const { federation, seed } = study
  return {
    config: {
      rounds: study.rounds,
      minSites,
      deadlineMs: federation.roundDeadlineSeconds === undefined ? null : federation.roundDeadlineSeconds * 1000,
      targetDice: study.targetDice ?? null,
      background: study.classNames[0]!,
      earlyStop: study.earlyStop,
      sync: federation.sync,
      crossSite: federation.crossSite,
      sampling: isSampled(federation) ? { seed, federation } : undefined,
      suspectMs: timing.suspectMs,
      leaseMs: timing.leaseMs,
      resendMs: timing.resendMs,
      progress: { leastMs: timing.stallMs, firstMs: timing.firstStepMs },
    },
    round: saved.commit.round,
    ...(saved.commit.steps === null ? {} : { steps: saved.commit.steps }),
    shares: new Map(admissions.sites.map(({ site, description }) => [site, batchesOf(study, description)])),
    base: modelSha256(saved.model),
    best: saved.commit.best,
    rise: saved.commit.rise,
    recorded: saved.commit.evaluated !== null,
    final: saved.commit.final,
    updates: new Map([...saved.updates].map(([site, model]) => [site, modelSha256(model)])),
    isCompared: saved.commit.compared !== null,
    trained: saved.commit.trained,
    sites: admissions.sites.map(({ site }) => site),
    results: new Map(
      journal.map(({ site, update, samples, metrics }) => [site, { update, samples, metrics, durable: true }]),
    ),
    at,
    haveHeard: goodbyes.sites,
  }
}

/** Batches that a site has in a round. */
export function batchesOf({ recipe }: Study, { trainCases }: SiteDescription): number {
  return recipe.localEpochs * Math.ceil(trainCases / recipe.batchSize)
}
