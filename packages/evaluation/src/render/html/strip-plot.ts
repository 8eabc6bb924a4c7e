import type { Report } from '../../report.js'
import { ratioText } from '../format.js'
import { classKey } from './class-key.js'
import { html, type Markup } from './markup.js'

/** More dots than this in a row are drawn as every n-th of the sorted values. */
const MOST_DOTS = 1200
const MOST_ROWS = 40
const HEIGHT = 48

interface Row {
  label: string
  key: string
  points: { subject: string; value: number }[]
  median: number | null
  versus: { name: string; value: number }[]
}

/** A dot for every case: the distribution of the Dice, for the foreground mean and each class. */
export function stripPlot(report: Report): Markup {
  const rows = rowsOf(report).slice(0, MOST_ROWS)
  const low = lowerEnd(rows)
  const position = (value: number): number => (1000 * (value - low)) / (1 - low)
  const step = 1 - low > 0.6 ? 0.2 : 1 - low > 0.25 ? 0.1 : 0.05
  const ticks: number[] = []
  for (let tick = low; tick < 1 + 1e-9; tick += step) ticks.push(Number(tick.toFixed(2)))
  const hasVersus = rows.some((row) => row.versus.length > 0)
  return html`<div class="strip">${rows.map((row) => rowMarkup(row, ticks, position))}<span></span><div class="axis" aria-hidden="true">${ticks.map(
    (tick) => html`<span style="left:${(position(tick) / 10).toFixed(2)}%">${tick.toFixed(step < 0.1 ? 2 : 1)}</span>`,
  )}</div></div><ul class="key"><li><svg viewBox="0 0 18 14" aria-hidden="true"><path class="dot" d="M9 7h0"/></svg>one case</li><li><svg viewBox="0 0 18 14" aria-hidden="true"><path class="median" d="M9 0v14"/></svg>median</li>${
    hasVersus
      ? html`<li><svg viewBox="0 0 18 14" aria-hidden="true"><path class="versus" d="M9 0v14"/></svg>${(report.comparisons ?? []).map((one) => one.name).join(', ')}</li>`
      : undefined
  }</ul>`
}

function rowsOf(report: Report): Row[] {
  const comparisons = report.comparisons ?? []
  const row = (
    label: string,
    key: string,
    ofCase: (subject: number) => number | null | undefined,
    median: number | null | undefined,
    versus: (comparison: number) => number | null | undefined,
  ): Row => ({
    label,
    key,
    points: report.cases.flatMap((one, i) => {
      const value = ofCase(i)
      return value === null || value === undefined ? [] : [{ subject: one.subject, value }]
    }),
    median: median ?? null,
    versus: comparisons.flatMap((one, i) => {
      const value = versus(i)
      return value === null || value === undefined ? [] : [{ name: one.name, value }]
    }),
  })
  return [
    row(
      'Foreground mean',
      '',
      (i) => report.cases[i]!.foregroundDice,
      report.summary.foregroundDice.median,
      (i) => comparisons[i]!.dice.foregroundDice,
    ),
    ...report.classes.slice(1).map(({ name }, index) =>
      row(
        name,
        classKey(index + 1),
        (i) => report.cases[i]!.perClass[name]?.dice,
        report.summary.perClass[name]?.dice?.median,
        (i) => comparisons[i]!.dice.perClass[name],
      ),
    ),
  ]
}

/** The axis ends at 1 and begins at the tenth below the smallest value. */
function lowerEnd(rows: readonly Row[]): number {
  const values = rows.flatMap((row) => [...row.points, ...row.versus].map((point) => point.value))
  const least = values.reduce((a, b) => Math.min(a, b), 0.9)
  return Math.max(0, Math.floor(least * 10 - 0.2) / 10)
}

function rowMarkup(row: Row, ticks: readonly number[], position: (value: number) => number): Markup {
  const x = (value: number): string => position(value).toFixed(1)
  const spread = `${row.points.length} cases, median ${ratioText(row.median)}`
  return html`<div class="label ${row.key}">${row.key ? html`<span class="swatch"></span>` : undefined}${row.label}</div><div class="row ${row.key}"><svg viewBox="0 0 1000 ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="Dice of ${row.label}: ${spread}">${ticks.map(
    (tick) => html`<path class="grid" d="M${x(tick)} 0v${HEIGHT}"/>`,
  )}${row.versus.map((one) => html`<path class="versus" d="M${x(one.value)} 4V${HEIGHT - 4}"><title>${one.name}: ${ratioText(one.value)}</title></path>`)}${
    row.median === null ? undefined : html`<path class="median" d="M${x(row.median)} 5V${HEIGHT - 5}"/>`
  }${swarm(row.points, position).map(
    (dot) =>
      html`<path class="dot" d="M${dot.x.toFixed(1)} ${dot.y.toFixed(1)}h0"><title>${dot.subject}: ${ratioText(dot.value)}</title></path>`,
  )}</svg></div>`
}

/** Dots that would cover each other are moved up and down in turn. */
function swarm(
  points: Row['points'],
  position: (value: number) => number,
): (Row['points'][0] & { x: number; y: number })[] {
  const sorted = [...points].sort((a, b) => a.value - b.value)
  const stride = Math.max(1, Math.ceil(sorted.length / MOST_DOTS))
  const bins = new Map<number, number>()
  const shown = sorted.filter((_, i) => i % stride === 0)
  const binOf = (value: number): number => Math.round(position(value) / 11)
  const sizes = new Map<number, number>()
  for (const { value } of shown) sizes.set(binOf(value), (sizes.get(binOf(value)) ?? 0) + 1)
  return shown.map((point) => {
    const bin = binOf(point.value)
    const place = bins.get(bin) ?? 0
    bins.set(bin, place + 1)
    const pitch = Math.min(8, (HEIGHT - 14) / Math.max(1, sizes.get(bin)! - 1))
    const offset = Math.ceil(place / 2) * (place % 2 === 0 ? 1 : -1)
    return { ...point, x: position(point.value), y: HEIGHT / 2 + offset * pitch }
  })
}
