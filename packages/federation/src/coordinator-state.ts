import type { CrossScore, EarlyStop, Federation, MeshflEvent, Rise, SiteState } from '@meshfl/core'
import { type Comparison, newComparison } from './coordinator-comparison.js'
import type { StepPlace } from './coordinator-steps.js'
import type { Header, TrainMetrics, Work } from './messages.js'
import { newProgress, type Progress, type ProgressConfig } from './progress-clock.js'
import type { SiteMetrics, SiteSteps, Summary } from './round-summary.js'

/** Times in milliseconds. */
interface CoordinatorConfig {
  rounds: number
  /** Sites that a round needs. */
  minSites: number
  /** After which a round commits with `minSites`; null: it waits for all of its sites. */
  deadlineMs: number | null
  targetDice: number | null
  /** The class that is none of the foreground. */
  background: string
  /** `step`: `round` below counts steps; see `placeOf`. Default: round. */
  sync?: 'round' | 'step' | undefined
  earlyStop?: EarlyStop | undefined
  /** Whether the run ends with the cross-site comparison. */
  crossSite?: boolean | undefined
  /** How the sites of a round are drawn; absent: all train. */
  sampling?: { seed: number; federation: Federation } | undefined
  /** Silence after which a site is suspect, and after which it is lost. */
  suspectMs: number
  leaseMs: number
  /** A task that a site does not work on is sent again after this. */
  resendMs: number
  progress: ProgressConfig
}

export interface Best {
  round: number
  foregroundDice: number
}

export interface SiteRecord {
  /** Its login, where it has one: another name for each, also on one connection. */
  readonly session: string | null
  readonly reach: 'online' | 'suspect' | 'lost' | 'left' | 'failed' | 'done'
  readonly lastHeard: number
  readonly taskSent: number
  readonly shown: SiteState
  readonly progress: Progress
}

/** A site's accepted update of the round in progress. */
export interface Result {
  /** The number by which the shell was offered it; absent where it was in the journal at the start. */
  readonly offer?: number
  readonly update: string
  readonly samples: number
  readonly metrics: TrainMetrics
  /** Whether it is on disk, in the journal or in a commit, and so acknowledged. */
  readonly durable: boolean
}

export interface CoordinatorState {
  readonly config: CoordinatorConfig
  /**
   * gathering: for the round after `round`. training: its tasks are out. committing: the new model is on its way to the disk.
   * comparing: the sites score every site's last model, one after the other.
   * evaluating, recording: the sites score the model of `round`; the scores are on their way to the disk.
   */
  readonly phase: 'gathering' | 'training' | 'committing' | 'evaluating' | 'recording' | 'comparing' | 'done'
  /** The last one committed; with `sync: step` the last step, counted over all rounds. */
  readonly round: number
  /** Exchanges in a round: 1, or its steps; 0 before the first one with `sync: step`. */
  readonly steps: number
  /** With `sync: step`: batches that a site has in a round. */
  readonly shares: ReadonlyMap<string, number>
  /** Hash of the model after it. */
  readonly base: string
  readonly best: Best | null
  /** Hashes of the sites' last models, where they are compared at the end. */
  readonly updates: ReadonlyMap<string, string>
  readonly comparison: Comparison | null
  /** Whether the operator has asked for one: it begins after the round in progress. */
  readonly isComparisonDue: boolean
  /** The last rise of the validation Dice: where early stop counts from. */
  readonly rise: Rise | null
  readonly paused: boolean
  readonly sites: ReadonlyMap<string, SiteRecord>
  /** Who has a task of this phase. */
  readonly members: ReadonlySet<string>
  /** One of them whose answer was not in the last time. */
  readonly awaited: string | null
  readonly results: ReadonlyMap<string, Result>
  readonly evaluations: ReadonlyMap<string, SiteMetrics>
  /** Whose answer of this phase was not taken. */
  readonly refused: ReadonlySet<string>
  /** Who is missing in the round that is being committed. */
  readonly leftOut: readonly LeftOut[]
  readonly trained: Summary | null
  /** With `sync: step`, by site; null where this process has not seen the round's first step: then nobody can say. */
  readonly siteSteps: ReadonlyMap<string, SiteSteps> | null
  readonly evaluated: Summary | null
  readonly phaseSince: number
  readonly roundSince: number
  /** Of the last rounds. */
  readonly roundMs: readonly number[]
  /** The last words about waiting, so that they are said once. */
  readonly complaint: string
  /** Whether a round has begun since this start: until then it is no trouble that sites are missing. */
  readonly isRunning: boolean
}

/** A step that a site has done, and how long it took. */
export interface SiteStep {
  step: number
  /** Of its round. */
  steps: number
  loss: number | null
  learningRate: number
  seconds: number
}

export type CoordinatorEvent = { at: number } & (
  | { type: 'joined'; site: string; session: string; working: Work | null; share?: number }
  | { type: 'disconnected'; session: string }
  | { type: 'heard'; site: string; session: string; working: Work | null; step?: SiteStep }
  | {
      type: 'result'
      site: string
      session: string
      /** The number by which the shell holds it. */
      offer: number
      round: number
      base: string
      update: string
      samples: number
      metrics: TrainMetrics
    }
  | { type: 'evaluation'; site: string; session: string; round: number; base: string; metrics: SiteMetrics }
  /** An answer that cannot be taken, as it is told the site. */
  | {
      type: 'refused'
      site: string
      session: string
      purpose: 'train' | 'evaluate'
      round: number
      base: string
      reason: string
    }
  | { type: 'journaled'; site: string; round: number; update: string }
  | { type: 'committed'; round: number; result: string }
  | { type: 'recorded'; round: number }
  | { type: 'compared' }
  | { type: 'bye'; site: string; session: string; reason: string }
  | { type: 'failed'; site: string; session: string; reason: string }
  /** It takes part no more: nothing that it sent counts in a round that is not closed yet. */
  | { type: 'revoked'; site: string }
  /** The operator wants every model scored at every site, after the round in progress. */
  | { type: 'compare-asked' }
  | { type: 'tick' }
  | { type: 'pause' }
  | { type: 'resume' }
)

type WithoutTime<E> = E extends unknown ? Omit<E, 'time'> : never
/** An event of the run, before it is told with the time of day. (A benchmark's figures have free keys, and tell of no run.) */
export type Told = WithoutTime<Exclude<MeshflEvent, { type: 'bench' | 'bench-machine' }>>

export interface LeftOut {
  site: string
  reason: string
}

/** What the shell has to do; each is done in this order. */
export type CoordinatorEffect =
  | {
      type: 'task'
      session: string
      purpose: 'train' | 'evaluate'
      round: number
      base: string
      /** Of the comparison at the end. */
      asIs?: boolean
      /** With `sync: step`. */
      place?: StepPlace
      /** Whether it was sent in this session before, and seems to be lost. */
      again: boolean
    }
  | {
      type: 'ack'
      session: string
      purpose: 'train' | 'evaluate'
      round: number
      base: string
      status: Header<'ACK'>['status']
      reason?: string
    }
  /** Write the update to disk, then tell `journaled`. */
  | { type: 'journal'; site: string; round: number; update: string }
  /** Average these sites' updates, write the commit, then tell `committed`. */
  | {
      type: 'commit'
      round: number
      /** Exchanges in a round. */
      steps: number
      base: string
      /** None in a step that is passed over. */
      sites: string[]
      leftOut: LeftOut[]
      trained: Summary
    }
  /** Write the scores of this round's model, then tell `recorded`. */
  | { type: 'record'; round: number; evaluated: Summary; best: Best | null; rise: Rise | null; final: boolean }
  /** Write down the comparison, then tell `compared`. */
  | { type: 'compare'; scores: readonly CrossScore[] }
  | { type: 'done'; session: string }
  /** The login has ended: by what the site said or did not say, or by a newer one in its place. */
  | { type: 'drop'; session: string }
  /** A site has the end of the run. */
  | { type: 'goodbye'; site: string }
  | { type: 'tell'; event: Told }
  /** Everybody who can be told has been. */
  | { type: 'finish' }

export interface CoordinatorStart {
  config: CoordinatorConfig
  round: number
  steps?: number
  shares?: ReadonlyMap<string, number>
  base: string
  best: Best | null
  rise?: Rise | null
  /** Whether the scores of `round` are on disk too. */
  recorded: boolean
  final: boolean
  updates?: ReadonlyMap<string, string>
  /** Whether the comparison of a run that has ended is on disk. */
  isCompared?: boolean
  trained: Summary | null
  /** Sites that were approved before, and those of their updates that are on disk. */
  sites: readonly string[]
  results: ReadonlyMap<string, Result>
  at: number
  /** Of a finished run: the sites that have heard of its end. The others are waited for until their leases end. */
  haveHeard: ReadonlySet<string>
}

/** The state that a new or a restarted coordinator begins with. */
export function startState(start: CoordinatorStart): CoordinatorState {
  const steps = start.steps ?? (start.config.sync === 'step' ? 0 : 1)
  const isScored = start.recorded || start.round % Math.max(1, steps) !== 0 || start.round === 0
  const updates = start.updates ?? new Map<string, string>()
  const isToCompare = start.final && start.config.crossSite === true && start.isCompared !== true && updates.size > 0
  const phase = isToCompare ? 'comparing' : start.final ? 'done' : isScored ? 'gathering' : 'evaluating'
  const hasEndedFor = (site: string): boolean => phase === 'done' && start.haveHeard.has(site)
  return {
    config: start.config,
    phase,
    round: start.round,
    steps,
    shares: start.shares ?? new Map(),
    base: start.base,
    best: start.best,
    rise: start.rise ?? null,
    updates,
    comparison: isToCompare ? newComparison(start.base, updates, true) : null,
    isComparisonDue: false,
    paused: false,
    sites: new Map(
      start.sites.map((site) => [
        site,
        {
          session: null,
          reach: hasEndedFor(site) ? 'done' : 'suspect',
          lastHeard: start.at,
          taskSent: 0,
          shown: hasEndedFor(site) ? 'done' : 'joining',
          progress: newProgress(start.at),
        } as const,
      ]),
    ),
    members: new Set(phase === 'evaluating' || phase === 'comparing' ? start.sites : []),
    awaited: null,
    results: new Map(start.results),
    evaluations: new Map(),
    refused: new Set(),
    leftOut: [],
    trained: start.trained,
    siteSteps: null,
    evaluated: null,
    phaseSince: start.at,
    roundSince: start.at,
    roundMs: [],
    complaint: '',
    isRunning: false,
  }
}
