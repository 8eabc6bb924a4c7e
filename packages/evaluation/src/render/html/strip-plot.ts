import type { Report } from '../../report.js'
import { ratioText } from '../format.js'
import { classKey } from './class-key.js'
import { html, type Markup } from './markup.js'

/** More dots than this in a row are drawn as every n-th of the sorted values. */
const MOST_DOTS = 1200
const MOST_ROWS = 40
const HEIGHT = 48

/** A row of dots. */
export interface StripRow {
  label: string
  /** Its class, which colours it; '' is none. */
  key: string
  points: { name: string; value: number }[]
  middle: number | null
  versus: { name: string; value: number }[]
}

/** What the marks of a plot stand for, in words. */
export interface StripWords {
  dot: string
  middle: string
  /** Names of what is drawn with dashes. */
  versus?: readonly string[]
}

/** A dot for every case: the distribution of the Dice, for the foreground mean and each class. */
export function stripPlot(report: Report): Markup {
  const versus = (report.comparisons ?? []).map((one) => one.name)
  return rowsPlot(rowsOf(report).slice(0, MOST_ROWS), { dot: 'case', middle: 'median', versus })
}

/** Rows of values from 0 to 1, under one axis that begins where they do. */
export function rowsPlot(rows: readonly StripRow[], words: StripWords): Markup {
  const low = lowerEnd(rows)
  const position = (value: number): number => (1000 * (value - low)) / (1 - low)
  const step = 1 - low > 0.6 ? 0.2 : 1 - low > 0.25 ? 0.1 : 0.05
  const ticks: number[] = []
  for (let tick = low; tick < 1 + 1e-9; tick += step) ticks.push(Number(tick.toFixed(2)))
  const hasVersus = rows.some((row) => row.versus.length > 0)
  return html`<div class="strip">${rows.map((row) => rowMarkup(row, words, ticks, position))}<span></span><div class="axis" aria-hidden="true">${ticks.map(
    (tick) => html`<span style="left:${(position(tick) / 10).toFixed(2)}%">${tick.toFixed(step < 0.1 ? 2 : 1)}</span>`,
  )}</div></div><ul class="key"><li><svg viewBox="0 0 18 14" aria-hidden="true"><path class="dot" d="M9 7h0"/></svg>one ${words.dot}</li><li><svg viewBox="0 0 18 14" aria-hidden="true"><path class="median" d="M9 0v14"/></svg>${words.middle}</li>${
    hasVersus
      ? html`<li><svg viewBox="0 0 18 14" aria-hidden="true"><path class="versus" d="M9 0v14"/></svg>${(words.versus ?? []).join(', ')}</li>`
      : undefined
  }</ul>`
}

function rowsOf(report: Report): StripRow[] {
  const comparisons = report.comparisons ?? []
  const row = (
    label: string,
    key: string,
    ofCase: (subject: number) => number | null | undefined,
    median: number | null | undefined,
    versus: (comparison: number) => number | null | undefined,
  ): StripRow => ({
    label,
    key,
    points: report.cases.flatMap((one, i) => {
      const value = ofCase(i)
      return value === null || value === undefined ? [] : [{ name: one.subject, value }]
    }),
    middle: median ?? null,
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
function lowerEnd(rows: readonly StripRow[]): number {
  const values = rows.flatMap((row) => [...row.points, ...row.versus].map((point) => point.value))
  const least = values.reduce((a, b) => Math.min(a, b), 0.9)
  return Math.max(0, Math.floor(least * 10 - 0.2) / 10)
}

function rowMarkup(
  row: StripRow,
  words: StripWords,
  ticks: readonly number[],
  position: (value: number) => number,
): Markup {
  const x = (value: number): string => position(value).toFixed(1)
  const spread = `${row.points.length} ${words.dot}s, ${words.middle} ${ratioText(row.middle)}`
  return html`<div class="label ${row.key}">${row.key ? html`<span class="swatch"></span>` : undefined}${row.label}</div><div class="row ${row.key}"><svg viewBox="0 0 1000 ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="Dice of ${row.label}: ${spread}">${ticks.map(
    (tick) => html`<path class="grid" d="M${x(tick)} 0v${HEIGHT}"/>`,
  )}${row.versus.map((one) => html`<path class="versus" d="M${x(one.value)} 4V${HEIGHT - 4}"><title>${one.name}: ${ratioText(one.value)}</title></path>`)}${
    row.middle === null ? undefined : html`<path class="median" d="M${x(row.middle)} 5V${HEIGHT - 5}"/>`
  }${swarm(row.points, position).map(
    (dot) =>
      html`<path class="dot" d="M${dot.x.toFixed(1)} ${dot.y.toFixed(1)}h0"><title>${dot.name}: ${ratioText(dot.value)}</title></path>`,
  )}</svg></div>`
}

/** Dots that would cover each other are moved up and down in turn. */
function swarm(
  points: StripRow['points'],
  position: (value: number) => number,
): (StripRow['points'][0] & { x: number; y: number })[] {
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
