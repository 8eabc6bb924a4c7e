import { type CaseMetrics, worstFirst } from '../case-metrics.js'
import { isRepeatedTest, type Report } from '../report.js'
import type { Statistic } from '../statistics.js'
import { escapeMarkdown, shorten } from './escape.js'
import {
  BASELINE_METHOD,
  baselineText,
  countText,
  DISCLAIMER,
  emptyText,
  intervalText,
  meshflDiceName,
  mlText,
  mmText,
  nsdName,
  pText,
  ratioText,
  repeatedText,
  reportCasesText,
  signedMlText,
  signedRatioText,
  surfaceText,
} from './format.js'

/** GitHub refuses a job summary above 1 MiB. */
const LIMIT_BYTES = 1024 * 1024
/** Room for the line that says how many rows are missing, and for the foot. */
const RESERVE_BYTES = 4096
/** More columns than this are no table a person reads. */
const MOST_CLASSES = 12
const MOST_LINES = 200

const STATISTIC_COLUMNS = ['Mean', '95 % interval', 'SD', 'Median', 'Min', 'Cases', 'Left out']

const name = (value: string): string => escapeMarkdown(shorten(value, 80))
const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
/** Two lines: a table's head, the first column to the left and numbers to the right. */
const head = (first: string, columns: readonly string[]): string[] => [
  row([first, ...columns]),
  row(['---', ...columns.map(() => '---:')]),
]

/** report.md: a job summary. Always below 1 MiB: when there are too many cases, the best ones are left to cases.csv. */
export function renderMarkdown(report: Report): string {
  const before = [
    ...headline(report),
    ...baselineTable(report),
    ...classTable(report),
    ...surfaceTable(report),
    ...siteTable(report),
  ]
  const foot = ['', `${emptyText(report)} ${DISCLAIMER}`, '']
  const names = report.classes.slice(1, 1 + MOST_CLASSES).map((one) => one.name)
  const table = ['', '### Cases, worst first', '', ...head('Subject', ['Foreground Dice', ...names.map(name)])]
  const cases = worstFirst(report.cases)
  let bytes = Buffer.byteLength([...before, ...table, ...foot].join('\n')) + RESERVE_BYTES
  let shown = 0
  for (const one of cases) {
    const line = caseRow(one, names)
    bytes += Buffer.byteLength(line) + 1
    if (bytes > LIMIT_BYTES) break
    table.push(line)
    shown++
  }
  if (shown < cases.length) table.push('', `${countText(cases.length - shown, 'more case')} in cases.csv.`)
  return [...before, ...(cases.length > 0 ? table : []), ...foot].join('\n')
}

function headline(report: Report): string[] {
  const { foregroundDice, meshflDice } = report.summary
  const split = report.split === null ? '' : `, ${name(report.split)} split`
  const lines = [
    `## ${name(report.dataset.name)}${split}: foreground Dice ${ratioText(foregroundDice.mean)}`,
    '',
    ...head('', STATISTIC_COLUMNS),
    statisticRow('**Foreground Dice** (without background)', foregroundDice),
    statisticRow(meshflDiceName(report), meshflDice),
    ...(report.comparisons ?? [])
      .slice(0, MOST_LINES)
      .map((one) =>
        row([`for comparison: ${name(one.name)}`, ratioText(one.dice.foregroundDice), '', '', '', '', '', '']),
      ),
    '',
  ]
  for (const gate of report.gates.slice(0, MOST_LINES)) {
    lines.push(`- Gate **${gate.outcome}**: ${escapeMarkdown(shorten(gate.reason, 300))}`)
  }
  if (isRepeatedTest(report)) lines.push('', `> **${repeatedText(report)}**`)
  for (const note of (report.notes ?? []).slice(0, MOST_LINES))
    lines.push('', `> ${escapeMarkdown(shorten(note, 500))}`)
  const model = report.model
    ? `Model ${name(report.model.name)} (${name(report.model.sha256.slice(0, 12))})`
    : 'Predictions from a folder'
  const engine = report.engine ? `, ${name(report.engine.name)} on ${name(report.engine.device)}` : ''
  lines.push('', `${model}${engine}, ${reportCasesText(report)}, ${name(report.tool)}, ${name(report.created)}.`)
  return lines
}

function statisticRow(label: string, value: Statistic): string {
  const { mean, ci95, sd, median, min } = value
  return row([
    label,
    ratioText(mean),
    intervalText(ci95),
    ratioText(sd),
    ratioText(median),
    ratioText(min),
    `${value.cases}`,
    `${value.leftOut}`,
  ])
}

function baselineTable({ baseline }: Report): string[] {
  if (!baseline) return []
  return [
    '',
    '### Against the baseline',
    '',
    escapeMarkdown(baselineText(baseline)),
    '',
    ...head('Dice', ['Here', 'Baseline', 'Difference', '95 % interval', 'Better', 'Worse', 'p']),
    ...baseline.differences
      .slice(0, MOST_LINES)
      .map((one) =>
        row([
          name(one.class),
          ratioText(one.mean),
          ratioText(one.baseline),
          signedRatioText(one.difference),
          intervalText(one.ci95, true),
          `${one.better}`,
          `${one.worse}`,
          pText(one.pHolm),
        ]),
      ),
    '',
    BASELINE_METHOD,
  ]
}

function classTable(report: Report): string[] {
  return [
    '',
    '### Classes (mean over cases)',
    '',
    ...head('Class', [
      'Dice',
      'Jaccard',
      'Sensitivity',
      'Precision',
      'True mL',
      'Predicted mL',
      'Error mL',
      'Left out',
    ]),
    ...report.classes.map((one) => {
      const of = (metric: string): Statistic | undefined => report.summary.perClass[one.name]?.[metric]
      const ratios = ['dice', 'jaccard', 'sensitivity', 'precision'].map((metric) => ratioText(of(metric)?.mean))
      const volumes = [
        mlText(of('truthMl')?.mean),
        mlText(of('predictionMl')?.mean),
        signedMlText(of('volumeErrorMl')?.mean),
      ]
      return row([name(one.name), ...ratios, ...volumes, `${of('dice')?.leftOut ?? 0}`])
    }),
  ]
}

function surfaceTable({ conventions: { surface }, classes, summary }: Report): string[] {
  if (surface === undefined) return []
  return [
    '',
    '### Surfaces (mean over cases)',
    '',
    ...head('Class', [nsdName(surface), 'HD95 mm', 'ASSD mm', 'HD mm', 'Distances left out']),
    ...classes.slice(1).map((one) => {
      const of = (metric: string): Statistic | undefined => summary.perClass[one.name]?.[metric]
      const distances = ['hd95', 'assd', 'hd'].map((metric) => mmText(of(metric)?.mean))
      return row([name(one.name), ratioText(of('nsd')?.mean), ...distances, `${of('hd95')?.leftOut ?? 0}`])
    }),
    '',
    surfaceText(surface),
  ]
}

function siteTable(report: Report): string[] {
  if (!report.sites) return []
  const rows = report.sites.slice(0, MOST_LINES).map((one) => statisticRow(name(one.site), one.summary.foregroundDice))
  return ['', '### Sites (foreground Dice)', '', ...head('Site', STATISTIC_COLUMNS), ...rows]
}

function caseRow(one: CaseMetrics, names: readonly string[]): string {
  const dice = names.map((className) => ratioText(one.perClass[className]?.dice))
  return row([name(one.subject), ratioText(one.foregroundDice), ...dice])
}
