import { setImmediate } from 'node:timers/promises'
import { z } from 'zod'
import { type Confusion, classCounts, confusionOf, diceOf, meanOf } from './confusion.js'
import type { EmptyConvention } from './metrics/metric.js'
import { classMetricsOf } from './metrics/registry.js'
import {
  eachSurface,
  type SurfaceConvention,
  type SurfaceDistances,
  type SurfaceGrid,
} from './surface/surface-distances.js'

/** What was measured on one case. */
export const CaseMetricsSchema = z.strictObject({
  /** The name of the case. */
  subject: z.string(),
  /** The subject that the case is a scan of, where it has another name: one of several scans, for example. */
  scanOf: z.string().optional(),
  site: z.string().optional(),
  /** Mean Dice of the classes from 1 on, without background; null when none of them has a Dice. */
  foregroundDice: z.number().nullable(),
  /**
   * The reference's measure: mean Dice of ALL classes, background among them, where a class in neither volume counts 0. Nearly
   * always higher than the foreground mean, because background is easy: never compare the one with the other.
   */
  meshflDice: z.number(),
  /** By class name, then by metric id. */
  perClass: z.record(z.string(), z.record(z.string(), z.number().nullable())),
  /** (classes, classes) voxels, row-major: truth down, prediction across. */
  confusion: z.array(z.number()),
})
export type CaseMetrics = z.infer<typeof CaseMetricsSchema>

export interface CaseDescription {
  subject: string
  /** Default: `subject`. */
  scanOf?: string | undefined
  site?: string | undefined
  /** Background first. */
  classNames: readonly string[]
  /** Millilitres of one voxel: the product of its edges in mm, divided by 1000. */
  voxelVolumeMl: number
  /** Default `nan`. */
  empty?: EmptyConvention | undefined
}

/** Surfaces of a case: how they are measured, and where its voxels are. */
export interface CaseSurfaces extends SurfaceGrid {
  convention: SurfaceConvention
}

interface CaseInput extends CaseDescription {
  truth: ArrayLike<number>
  prediction: ArrayLike<number>
  surfaces?: CaseSurfaces | undefined
}

/**
 * Measures a prediction against the truth on the same grid, and its surfaces where they are asked for.
 * @throws MeshflError `EVAL_GRID_MISMATCH`, `EVAL_LABEL_OUT_OF_RANGE`
 */
export function evaluateCase(input: CaseInput): CaseMetrics {
  const steps = stepsOf(input)
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}

/**
 * As `evaluateCase`, and lets others work between the surfaces of two classes.
 * @throws MeshflError `EVAL_GRID_MISMATCH`, `EVAL_LABEL_OUT_OF_RANGE`; what the signal gives
 */
export async function evaluateCaseInTurns(input: CaseInput, signal: AbortSignal): Promise<CaseMetrics> {
  const steps = stepsOf(input)
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
    await setImmediate()
    signal.throwIfAborted()
  }
}

/** Stops after the surfaces of each class. */
function* stepsOf(input: CaseInput): Generator<undefined, CaseMetrics> {
  const { truth, prediction, surfaces } = input
  const classes = input.classNames.length
  const confusion = confusionOf(truth, prediction, classes)
  if (surfaces === undefined) return metricsFrom({ ...input, confusion })
  const { convention } = surfaces
  const distances: (SurfaceDistances | null)[] = []
  for (const one of eachSurface({ truth, prediction, classes }, convention.kind, surfaces)) {
    distances.push(one)
    yield
  }
  return metricsFrom({ ...input, confusion }, { convention, distances })
}

/** As `evaluateCase`, from counts that an engine has already made. */
export function evaluateConfusion(input: CaseDescription & { confusion: Confusion }): CaseMetrics {
  return metricsFrom(input)
}

function metricsFrom(
  input: CaseDescription & { confusion: Confusion },
  measured?: { convention: SurfaceConvention; distances: readonly (SurfaceDistances | null)[] },
): CaseMetrics {
  const { classNames, confusion, voxelVolumeMl, empty = 'nan' } = input
  if (classNames.length !== confusion.classes || confusion.counts.length !== confusion.classes ** 2) {
    throw new RangeError(`${confusion.classes} classes need as many names and their square of counts`)
  }
  const counts = classNames.map((_, index) => classCounts(confusion, index))
  const metrics = counts.map((one, index) => {
    const surface = measured && { convention: measured.convention, distances: measured.distances[index]! }
    return Object.fromEntries(
      classMetricsOf(measured?.convention, index).map((metric) => [
        metric.id,
        metric.of({ counts: one, voxelVolumeMl, empty, surface }),
      ]),
    )
  })
  return {
    subject: input.subject,
    ...(input.scanOf === undefined || input.scanOf === input.subject ? {} : { scanOf: input.scanOf }),
    ...(input.site === undefined ? {} : { site: input.site }),
    foregroundDice: meanOf(metrics.slice(1).map((one) => one.dice ?? null)),
    meshflDice: meanOf(counts.map((one) => diceOf(one) ?? 0)) ?? 0,
    perClass: Object.fromEntries(classNames.map((name, index) => [name, metrics[index]!])),
    confusion: Array.from(confusion.counts),
  }
}

/** What is drawn as one in intervals and tests: a case of which nothing is known is its own subject. */
export function subjectOf({ subject, scanOf }: Pick<CaseMetrics, 'subject' | 'scanOf'>): string {
  return scanOf ?? subject
}

/** The cases with the lowest foreground Dice first (those without one before all), then by name: the order of every table. */
export function worstFirst(cases: readonly CaseMetrics[]): CaseMetrics[] {
  const key = (one: CaseMetrics): number => one.foregroundDice ?? -1
  return [...cases].sort((a, b) => key(a) - key(b) || (a.subject < b.subject ? -1 : a.subject > b.subject ? 1 : 0))
}
