import type { BenchResult } from './bench-case.js'

/** Something that is timed on one case. */
export interface Entrant {
  /** What its line says beside its figures. */
  readonly labels: Pick<BenchResult, 'engine' | 'precision' | 'instructionSet' | 'maxMemoryBytes' | 'checkpointing'>
  /** Does it once. @returns seconds, and what shows that it computed the same: a loss, or the share of voxels of each class */
  run(): Promise<{ seconds: number; outcome: number[] }>
  peak(): Promise<Pick<BenchResult, 'peakBytes' | 'memory'>>
  close(): void
}

/** An entrant that cannot take part in a case, and why. */
export interface Absent {
  labels: Entrant['labels']
  skipped: string
}
