import { MeshflError } from '@meshfl/core'
import type { Engine, Session } from '@meshfl/engine'
import type { BenchTask } from './bench-case.js'
import type { Absent, Entrant } from './entrant.js'
import type { Problem } from './problem.js'

export interface EngineEntrantOptions {
  engine: Engine
  task: BenchTask
  problem: Problem
  precision: 'fp32' | 'bf16'
  maxMemoryBytes: number | null
  threads: number
  signal: AbortSignal
}

/** One of our engines; absent when it lacks the precision, or the memory. */
export async function openEngineEntrant(options: EngineEntrantOptions): Promise<Entrant | Absent> {
  const { engine, task, problem, precision, maxMemoryBytes, threads, signal } = options
  const { spec, grid, model, loss } = problem
  const labels = {
    engine: engine.name,
    precision,
    instructionSet: engine.device.instructionSet,
    ...(maxMemoryBytes === null ? {} : { maxMemoryBytes }),
  }
  let session: Session
  try {
    session = await engine.createSession(spec, grid, {
      purpose: task === 'step' ? 'train' : 'predict',
      precision,
      threads,
      ...(maxMemoryBytes === null ? {} : { maxMemoryBytes }),
    })
  } catch (error) {
    if (error instanceof MeshflError) return { labels, skipped: error.message }
    throw error
  }
  const batch = { images: problem.images, count: 1 }
  const truth = problem.labels
  // What is compared with the other entrants is made of it when the clock has stopped, as theirs is.
  const compute = async (): Promise<() => number[]> => {
    if (task === 'step') {
      const step = await session.forwardBackward(model, batch, truth, loss, { seed: 0, signal })
      return () => [step.loss]
    }
    const segmentation = await session.forward(model, batch, { signal })
    return () => sharesOf(segmentation.labels, spec.classes)
  }
  return {
    labels,
    async run() {
      const begun = performance.now()
      const outcome = await compute()
      const seconds = (performance.now() - begun) / 1000
      return { seconds, outcome: outcome() }
    },
    peak: async () => ({ peakBytes: session.memory.peakBytes, memory: 'plan' }),
    close: () => session.dispose(),
  }
}

/** The share of the voxels that each class has. */
function sharesOf(labels: Uint8Array, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0)
  for (const label of labels) counts[label]!++
  return counts.map((count) => count / labels.length)
}
