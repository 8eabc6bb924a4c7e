/** How a site gets on with a task, by its own measure. Times in milliseconds. */
export interface Progress {
  /** The last step that it told of this task; 0 before the first. */
  readonly step: number
  /** When the task was sent. */
  readonly begun: number
  /** When it was sent, or when it last went on. */
  readonly since: number
  /** Of its last steps and its last evaluations: how long they took. */
  readonly stepMs: readonly number[]
  readonly evaluationMs: readonly number[]
  /** Of its last round of training. */
  readonly trainingMs: number
  /** Whether the task was at work when we began to look: how long it takes is not known then. */
  readonly isPartial: boolean
  /** It pings, but has not gone on for longer than its patience: as good as lost until it does. */
  readonly isStalled: boolean
}

export interface ProgressConfig {
  /** Patience is never less, however fast its steps. */
  leastMs: number
  /** Patience while no step of the site is known: reading volumes, starting an engine, the first step itself. */
  firstMs: number
}

/** Patience in medians: ten times slower than usual is a busy machine, not a hung one. */
const PATIENCE = 20
const KEPT = 21

export function newProgress(at: number): Progress {
  return {
    step: 0,
    begun: at,
    since: at,
    stepMs: [],
    evaluationMs: [],
    trainingMs: 0,
    isPartial: false,
    isStalled: false,
  }
}

/** A task is sent. */
export function begin(progress: Progress, at: number): Progress {
  return { ...progress, step: 0, begun: at, since: at, isPartial: false, isStalled: false }
}

/** A site tells a step; one that it told before is no progress. It took no longer than we have waited for it: a site's word alone buys it no patience. */
export function advance(progress: Progress, step: number, seconds: number, at: number): Progress {
  if (step <= progress.step) return progress
  // The first that is heard after a login or a restart may have been done long before: how long it took is not known.
  if (progress.isPartial && progress.step === 0) return { ...progress, step, since: at, isStalled: false }
  const stepMs = [...progress.stepMs, Math.min(1000 * seconds, at - progress.since)].slice(-KEPT)
  return { ...progress, step, since: at, stepMs, isStalled: false }
}

/**
 * A site's training or evaluation is in.
 * @param trainingMs what the site says that its training took
 */
export function finish(progress: Progress, purpose: 'train' | 'evaluate', at: number, trainingMs = 0): Progress {
  const done = { ...progress, since: at, isPartial: false, isStalled: false }
  if (purpose === 'train') {
    const seen = Math.min(trainingMs, at - progress.begun)
    return { ...done, trainingMs: progress.isPartial ? Math.max(progress.trainingMs, seen) : seen }
  }
  if (progress.isPartial) return done
  return { ...done, evaluationMs: [...progress.evaluationMs, at - progress.since].slice(-KEPT) }
}

/** How long a site may stay where it is before it counts as hung: a multiple of its own median. */
export function patienceMs(progress: Progress, purpose: 'train' | 'evaluate', config: ProgressConfig): number {
  const known = purpose === 'train' ? progress.stepMs : progress.evaluationMs
  if (known.length > 0) return Math.max(config.leastMs, PATIENCE * median(known))
  // An evaluation only computes forward: it takes less than the training before it.
  return Math.max(config.firstMs, purpose === 'evaluate' ? 2 * progress.trainingMs : 0)
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}
