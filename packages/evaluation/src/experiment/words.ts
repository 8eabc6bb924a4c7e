import { casesText } from '../render/format.js'
import type { Experiment, ExperimentArm } from './experiment.js'

/** How arms are compared. */
export const COMPARISON_METHOD =
  'Of every case its mean Dice over the seeds, less that of the first arm. The interval is a 95 % bootstrap interval (BCa) of the mean difference over cases, for which whole subjects are drawn; p is of a two-sided permutation test in which all cases of a subject change their sign together, adjusted for the number of figures in this table (Holm). Both are about subjects like these and these trainings: what other seeds would do is in the table above, as the spread.'

export function howText(how: ExperimentArm['how']): string {
  return how === 'train' ? 'one machine' : 'federation'
}

export function scoredText({ cases, subjects }: Experiment): string {
  return casesText({ cases, ...(subjects < cases ? { subjects } : {}) })
}

/** All that trained a model, in their order. */
export function enginesText({ engines }: Pick<ExperimentArm['runs'][number], 'engines'>): string {
  return engines.join(', then ')
}

/** What a reader must know of all runs. A second look at the test split is said, as in the report of a run. */
export function noticesOf({ arms, split }: Pick<Experiment, 'arms' | 'split'>): string[] {
  const runs = arms.flatMap((arm) => arm.runs)
  const most = Math.max(...runs.map(({ evaluations }) => evaluations))
  const engines = [...new Set(runs.map(enginesText))]
  const areOfOne = new Set(runs.flatMap((run) => run.engines)).size === 1
  return [
    ...(split === 'test' && most > 1
      ? [
          `Some of these models were scored on the test split up to ${most} times. Figures that were looked at before are no longer those of unseen data.`,
        ]
      : []),
    ...(split === 'valid'
      ? [
          'These are cases for validation: a training that had them, or some of them, chose its best round by them, and looks better than it is.',
        ]
      : []),
    ...(!areOfOne
      ? [
          `These models were not trained by one engine and precision: ${engines.join('; ')}. That may be a part of their differences.`,
        ]
      : []),
  ]
}
