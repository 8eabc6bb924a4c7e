import { MeshflError } from '@meshfl/core'
import { type Engine, openEngine } from '@meshfl/engine'
import { type BenchPlan, type BenchResult, type BenchTask, flopsOf } from './bench-case.js'
import { checkAnswer } from './check-answer.js'
import { openEngineEntrant } from './engine-entrant.js'
import type { Absent, Entrant } from './entrant.js'
import { findPeers, openPeers } from './peer-entrant.js'
import { createProblem, cube, type Problem } from './problem.js'

/** An entrant whose warm-up takes longer is not run again: it counts. */
const LONG_SECONDS = 20

/** How far outcomes of the same case may lie apart, loss or shares of classes: rounding, at any size. */
const AGREEMENT = { fp32: 2e-3, bf16: 2e-2 }

export interface BenchRun {
  plan: BenchPlan
  /** In 1e9 floating-point operations a second; null: unknown. */
  peakGflops: number | null
  signal: AbortSignal
  /** Awaited before the next case is measured. */
  onResult(result: BenchResult): Promise<void>
  onProgress(done: number, total: number): void
}

type Opened = { entrant: Entrant; seconds: number[] }

/**
 * Times every case of a plan: its entrants are warmed up, their outcomes compared, and then run in turns, A B A B, so that whatever
 * else the machine does falls on all alike.
 * @throws MeshflError `BENCH_WRONG_ANSWER`
 */
export async function runBench({ plan, peakGflops, signal, onResult, onProgress }: BenchRun): Promise<void> {
  const { tasks, grids, channels } = plan
  const engines = await openEngines(plan)
  const peers = plan.peers ? findPeers() : { python: null, onnxruntime: null }
  const unchecked = await checkEngines(plan, engines)
  const total = tasks.length * grids.length * channels.length * (plan.repeats + 1)
  let done = 0
  const progress = (): void => onProgress(Math.min(++done, total), total)
  for (const count of channels) {
    for (const edge of grids) {
      const problem = createProblem(cube(edge), count)
      for (const task of tasks) {
        const ours = await openOurs({ plan, engines, unchecked, task, problem, signal })
        const theirs = await openPeers({ peers, task, problem, threads: plan.threads, signal })
        const all = [...ours, ...theirs]
        try {
          const describe = (labels: Entrant['labels']): BenchResult => ({
            type: 'bench',
            case: task,
            ...labels,
            grid: [edge, edge, edge],
            channels: count,
            threads: plan.threads,
          })
          const opened = await timeInTurns(all.filter(isEntrant), plan.repeats, signal, progress)
          for (const one of all) {
            const timed = opened.find(({ entrant }) => entrant === one)
            if (!timed) await onResult({ ...describe(one.labels), skipped: (one as Absent).skipped })
            else
              await onResult({
                ...describe(one.labels),
                ...(await figuresOf(timed, flopsOf(task, edge, count), peakGflops)),
              })
          }
        } finally {
          for (const one of all) if (isEntrant(one)) one.close()
        }
      }
    }
  }
}

const isEntrant = (one: Entrant | Absent): one is Entrant => 'run' in one

/** An engine of the plan in one precision, which may choose its instruction set; or why there is none. */
type Candidate = { device: BenchPlan['devices'][number]; precision: BenchPlan['precisions'][number] } & (
  | { engine: Engine }
  | { reason: string }
)

async function openEngines({ devices, precisions, threads }: BenchPlan): Promise<Candidate[]> {
  const candidates: Candidate[] = []
  for (const device of devices) {
    for (const precision of precisions) {
      try {
        candidates.push({ device, precision, engine: await openEngine({ device, precision, threads }) })
      } catch (error) {
        if (!(error instanceof MeshflError)) throw error
        candidates.push({ device, precision, reason: error.message })
      }
    }
  }
  return candidates
}

/** Holds every engine's answers against the reference; gives why some cannot be, by `engine precision channels`. */
async function checkEngines(plan: BenchPlan, candidates: readonly Candidate[]): Promise<Map<string, string>> {
  const unchecked = new Map<string, string>()
  for (const candidate of candidates) {
    if (!('engine' in candidate)) continue
    const { device, precision, engine } = candidate
    for (const channels of plan.channels) {
      try {
        const reason = await checkAnswer(engine, channels, precision, plan.threads)
        if (reason) unchecked.set(`${device} ${precision} ${channels}`, reason)
      } catch (error) {
        if (!(error instanceof MeshflError) || error.code === 'BENCH_WRONG_ANSWER') throw error
        unchecked.set(`${device} ${precision} ${channels}`, error.message)
      }
    }
  }
  return unchecked
}

async function openOurs(options: {
  plan: BenchPlan
  engines: readonly Candidate[]
  unchecked: Map<string, string>
  task: BenchTask
  problem: Problem
  signal: AbortSignal
}): Promise<(Entrant | Absent)[]> {
  const { plan, engines, unchecked, task, problem, signal } = options
  const opened: (Entrant | Absent)[] = []
  for (const candidate of engines) {
    const { device, precision } = candidate
    const wrong = unchecked.get(`${device} ${precision} ${problem.spec.channels}`)
    // What a forward pass takes is far below any of the limits that are worth trying.
    for (const maxMemoryBytes of task === 'step' ? plan.memoryLimits : [null]) {
      const labels = { engine: device, precision, ...(maxMemoryBytes === null ? {} : { maxMemoryBytes }) }
      if (!('engine' in candidate)) opened.push({ labels, skipped: candidate.reason })
      else if (wrong !== undefined) opened.push({ labels, skipped: wrong })
      else {
        const { engine } = candidate
        const { threads } = plan
        opened.push(await openEngineEntrant({ engine, task, problem, precision, maxMemoryBytes, threads, signal }))
      }
    }
  }
  return opened
}

/** Warms up, compares, and takes turns. */
async function timeInTurns(
  entrants: readonly Entrant[],
  repeats: number,
  signal: AbortSignal,
  progress: () => void,
): Promise<Opened[]> {
  const opened: Opened[] = []
  let truth: { entrant: Entrant; outcome: number[] } | undefined
  for (const entrant of entrants) {
    signal.throwIfAborted()
    const { seconds, outcome } = await entrant.run()
    truth ??= { entrant, outcome }
    compare(truth, { entrant, outcome })
    opened.push({ entrant, seconds: seconds > LONG_SECONDS ? [seconds] : [] })
  }
  progress()
  for (let turn = 0; turn < repeats; turn++) {
    for (const { entrant, seconds } of opened) {
      signal.throwIfAborted()
      if (seconds[0] === undefined || seconds[0] <= LONG_SECONDS) seconds.push((await entrant.run()).seconds)
    }
    progress()
  }
  return opened
}

function compare(truth: { entrant: Entrant; outcome: number[] }, found: { entrant: Entrant; outcome: number[] }): void {
  const precision = [truth, found].some(({ entrant }) => entrant.labels.precision === 'bf16') ? 'bf16' : 'fp32'
  const error = Math.max(...truth.outcome.map((value, i) => Math.abs(value - found.outcome[i]!)))
  if (error < AGREEMENT[precision]) return
  const [one, other] = [truth, found].map(({ entrant }) => `${entrant.labels.engine} (${entrant.labels.precision})`)
  throw new MeshflError(
    'BENCH_WRONG_ANSWER',
    `${other} computes something else than ${one}: ${found.outcome} for ${truth.outcome}`,
    {
      hint: 'please report it, with the versions of both',
      data: { error },
    },
  )
}

async function figuresOf(
  { entrant, seconds }: Opened,
  flops: number,
  peakGflops: number | null,
): Promise<Partial<BenchResult>> {
  const sorted = seconds.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  const medianSeconds = (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2
  const gflops = flops / medianSeconds / 1e9
  return {
    medianSeconds,
    spread: [sorted[0]!, sorted.at(-1)!],
    runs: seconds.length,
    ...(await entrant.peak()),
    gflops,
    ...(peakGflops === null ? {} : { shareOfPeak: gflops / peakGflops }),
  }
}
