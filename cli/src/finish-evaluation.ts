import { join, resolve } from 'node:path'
import { makeFolder, mayPass, now } from '@meshfl/core'
import {
  buildReport,
  casesText,
  countEvaluations,
  countText,
  type Difference,
  githubAnnotations,
  intervalText,
  isFault,
  keepReport,
  pText,
  type Report,
  recordEvaluation,
  reportCasesText,
  reportEvent,
  signedRatioText,
  writeReport,
} from '@meshfl/evaluation'
import type { Evaluation } from './evaluation.js'
import { leftOutText } from './left-out-text.js'
import { lockOrGoOn } from './lock-when-free.js'
import type { Output } from './output.js'

/** As long as a report may take to be written. */
const MOST_WAIT_MS = 60_000

/** Builds and writes the report, counts the evaluation, and prints the result. */
export async function finishEvaluation(
  evaluation: Evaluation,
  out: string | undefined,
  output: Output,
  signal: AbortSignal,
): Promise<Report> {
  const { evaluations, note } = await countThis(evaluation)
  if (note !== undefined) output.events({ type: 'log', time: now(), level: 'warn', message: note })
  const notes = [...(evaluation.input.notes ?? []), ...(note === undefined ? [] : [note])]
  const report = buildReport({
    ...evaluation.input,
    ...{ evaluations, notes },
    leftOut: evaluation.leftOut.map(({ subject, why, reason }) => ({ subject, why, reason })),
  })
  const tell = (level: 'info' | 'warn', message: string): void =>
    output.events({ type: 'log', time: now(), level, message })
  const folder = await write(report, evaluation, out, signal, tell)
  const { mean } = report.summary.foregroundDice
  const perClass = report.classes
    .slice(1)
    .map(({ name }) => `${name} ${format(report.summary.perClass[name]?.dice?.mean ?? null)}`)
  const leftOut = faultsOf(evaluation, report)
  output.result(
    {
      ...reportEvent(report, folder),
      ...(leftOut.length > 0 ? { leftOut: leftOut.map(({ subject }) => subject) } : {}),
    },
    [
      ...(leftOut.length > 0 ? [leftOutText(leftOut, report.gate === 'failed' ? '' : ' (so the exit code is 3)')] : []),
      ...(report.cases.length === 0
        ? []
        : [`foreground Dice ${format(mean)} over ${reportCasesText(report)} (${perClass.join(', ')})`]),
      ...surfaceTexts(report),
      ...(report.comparisons ?? []).map(({ name, dice }) => `${name}: foreground Dice ${format(dice.foregroundDice)}`),
      ...(report.baseline?.differences ?? []).map(differenceText),
      ...report.gates.map(({ outcome, reason }) => `gate ${outcome}: ${reason}`),
      `report: ${join(folder, 'report.html')}`,
    ].join('\n'),
  )
  // On standard error: of standard output scripts read the last line.
  if (process.env.GITHUB_ACTIONS === 'true')
    for (const line of githubAnnotations(report)) process.stderr.write(`${line}\n`)
  return report
}

/**
 * Writes a report where it was asked to be, or else where those of its kind are, beside an earlier one.
 * @returns its folder
 */
async function write(
  report: Report,
  { folder, slices }: Evaluation,
  out: string | undefined,
  signal: AbortSignal,
  tell: (level: 'info' | 'warn', message: string) => void,
): Promise<string> {
  if (out !== undefined && resolve(out) !== resolve(folder)) {
    await writeReport(out, report, slices)
    return out
  }
  makeFolder(folder)
  // Two evaluations at once would move each other's files while they are written.
  const lock = await lockOrGoOn(folder, { signal, mostMs: MOST_WAIT_MS })
  try {
    const kept = await keepReport(folder, report)
    if (kept !== undefined) tell('info', `the report of other scores that was in ${folder} is in ${kept} now`)
    await writeReport(folder, report, slices)
    return folder
  } finally {
    lock?.release()
  }
}

/** A line a class: what is near enough, and how far off the rest is. */
function surfaceTexts({ conventions: { surface }, classes, summary }: Report): string[] {
  if (surface === undefined) return []
  return classes.slice(1).map(({ name }) => {
    const { nsd, hd95 } = summary.perClass[name]!
    const distance =
      hd95?.mean == null ? 'undefined' : `${hd95.mean.toFixed(2)} mm over ${countText(hd95.cases, 'case')}`
    return `surface of ${name} (${surface.kind}): NSD ${format(nsd?.mean ?? null)} at ${surface.toleranceMm} mm, HD95 ${distance}`
  })
}

/** What is not there cannot be held against a gate: that it passed must not be all that a script sees. */
export function faultsOf({ leftOut }: Evaluation, report: Report): Evaluation['leftOut'] {
  return leftOut.filter((one) => isFault(one, report))
}

function differenceText(of: Difference): string {
  const { class: name, difference, ci95, baseline, pHolm } = of
  if (difference === null) return `against the baseline: no ${name} dice to compare`
  const interval = ci95 ? `95 % interval ${intervalText(ci95, true)}, ` : ''
  return `against the baseline: ${name} ${signedRatioText(difference)} from ${format(baseline)} (${interval}p ${pText(pHolm)}, ${casesText(of)})`
}

function format(value: number | null): string {
  return value === null ? 'undefined' : value.toFixed(4)
}

/**
 * How often this model has now been scored on this split: the test split is for once. The run of somebody else, which can only be
 * read, does not remember it: that is noted.
 */
async function countThis({ run, input }: Evaluation): Promise<{ evaluations: number; note?: string }> {
  if (run === undefined || !input.model || !input.split) return { evaluations: 1 }
  const file = join(run, 'evaluations.jsonl')
  const evaluation = {
    time: now(),
    modelSha256: input.model.sha256,
    dataset: input.dataset.sha256 ?? input.dataset.name,
    split: input.split,
  }
  try {
    return { evaluations: await recordEvaluation(file, evaluation) }
  } catch (error) {
    if (!mayPass(error)) throw error
    const evaluations = (await countEvaluations(file, evaluation)) + 1
    return { evaluations, note: `This evaluation does not count where the run is scored again: ${error.message}.` }
  }
}
