import { join } from 'node:path'
import { now } from '@meshfl/core'
import { buildReport, type Report, recordEvaluation, reportEvent, writeReport } from '@meshfl/evaluation'
import type { Evaluation } from './evaluation.js'
import { leftOutText } from './left-out-text.js'
import type { Output } from './output.js'

/** Builds and writes the report, counts the evaluation, and prints the result. */
export async function finishEvaluation(
  evaluation: Evaluation,
  out: string | undefined,
  output: Output,
): Promise<Report> {
  const folder = out ?? evaluation.folder
  const report = buildReport({ ...evaluation.input, evaluations: await countEvaluations(evaluation) })
  await writeReport(folder, report, evaluation.slices)
  const { mean } = report.summary.foregroundDice
  const perClass = report.classes
    .slice(1)
    .map(({ name }) => `${name} ${format(report.summary.perClass[name]?.dice?.mean ?? null)}`)
  const { leftOut } = evaluation
  output.result(
    {
      ...reportEvent(report, folder),
      ...(leftOut.length > 0 ? { leftOut: leftOut.map(({ subject }) => subject) } : {}),
    },
    [
      ...(leftOut.length > 0 ? [leftOutText(leftOut, report.gate === 'failed' ? '' : ' (so the exit code is 3)')] : []),
      ...(report.cases.length === 0
        ? []
        : [`foreground Dice ${format(mean)} over ${report.cases.length} cases (${perClass.join(', ')})`]),
      ...(report.comparisons ?? []).map(({ name, dice }) => `${name}: foreground Dice ${format(dice.foregroundDice)}`),
      ...report.gates.map(({ outcome, reason }) => `gate ${outcome}: ${reason}`),
      `report: ${join(folder, 'report.html')}`,
    ].join('\n'),
  )
  return report
}

function format(value: number | null): string {
  return value === null ? 'undefined' : value.toFixed(4)
}

/** How often this model has now been scored on this split: the test split is for once. */
async function countEvaluations({ run, input }: Evaluation): Promise<number> {
  if (run === undefined || !input.model || !input.split) return 1
  return recordEvaluation(join(run, 'evaluations.jsonl'), {
    time: now(),
    modelSha256: input.model.sha256,
    dataset: input.dataset.sha256 ?? input.dataset.name,
    split: input.split,
  })
}
