import type { CurvePoint, Report } from '../../report.js'
import { CLASS_COLOURS } from '../../slices/palette.js'
import { countText, NOTHING, ratioText } from '../format.js'
import { classKey } from './class-key.js'
import { html, type Markup } from './markup.js'

interface Series {
  name: string
  style: 'train' | 'valid' | 'site'
  /** The site's place among all, for its dashes. */
  index?: number
  values: { round: number; value: number }[]
}

/** Loss and foreground Dice over the rounds, training and validation, and the numbers as a table. */
export function curves(report: Report): Markup | undefined {
  const points = report.curves ?? []
  if (points.length === 0) return undefined
  const series = (name: string, style: Series['style'], key: Exclude<keyof CurvePoint, 'round'>): Series => ({
    name,
    style,
    values: points.flatMap((point) => (point[key] === null ? [] : [{ round: point.round, value: point[key] }])),
  })
  const dice = [
    series('training', 'train', 'trainForegroundDice'),
    series('validation', 'valid', 'validForegroundDice'),
  ]
  const best = dice[1]!.values.reduce<{ round: number; value: number } | null>(
    (top, point) => (top === null || point.value > top.value ? point : top),
    null,
  )
  return html`<section aria-labelledby="training"><h2 id="training">Training</h2><p class="lead">${countText(points.length, 'round')}.${
    best ? ` Best validation foreground Dice: ${ratioText(best.value)}, in round ${best.round}.` : ''
  }</p><div class="plots">${plot('Foreground Dice', dice, { low: 0, high: 1 }, best)}${plot(
    'Loss',
    [series('training', 'train', 'trainLoss'), series('validation', 'valid', 'validLoss')],
    null,
    null,
  )}</div><ul class="key"><li><svg viewBox="0 0 18 14" aria-hidden="true"><path class="line valid" d="M0 7h18"/></svg>validation</li><li><svg viewBox="0 0 18 14" aria-hidden="true"><path class="line train" d="M0 7h18"/></svg>training</li>${
    best
      ? html`<li><svg viewBox="0 0 18 14" aria-hidden="true"><path class="mark" d="M9 7h0"/></svg>best round</li>`
      : undefined
  }</ul>${numbers(points)}${siteCurves(report)}</section>`
}

/** More sites than this are no longer told apart by their lines; report.json has them all. */
const MOST_SITES = 8
const DASHES = ['', '6 4', '2 3', '10 4', '10 3 2 3', '1 4', '14 4', '4 2 1 2']

/** The validation Dice of the global model at each site, and the loss of each site's training, over the rounds. */
function siteCurves({ siteCurves: all = [] }: Report): Markup | undefined {
  if (all.length === 0) return undefined
  const shown = all.slice(0, MOST_SITES)
  const series = (key: Exclude<keyof CurvePoint, 'round'>): Series[] =>
    shown.map(({ site, points }, index) => ({
      name: site,
      style: 'site',
      index,
      values: points.flatMap((point) => (point[key] === null ? [] : [{ round: point.round, value: point[key] }])),
    }))
  const left = all.length - shown.length
  return html`<h3 class="apart">Site by site</h3><p class="lead">The global model on each site's validation cases, and each site's training loss.${
    left > 0 ? ` ${countText(left, 'more site')} in report.json.` : ''
  }</p><div class="plots">${plot('Foreground Dice, validation', series('validForegroundDice'), { low: 0, high: 1 }, null)}${plot(
    'Loss, training',
    series('trainLoss'),
    null,
    null,
  )}</div><ul class="key">${shown.map(
    ({ site }, index) =>
      html`<li><svg class="wide" viewBox="0 0 36 14" aria-hidden="true"><path class="line site ${siteColour(index)}" stroke-dasharray="${DASHES[index]!}" d="M0 7h36"/></svg>${site}</li>`,
  )}</ul>`
}

/** Lines are told apart by their dashes; the colour helps. */
function siteColour(index: number): string {
  return classKey((index % CLASS_COLOURS.length) + 1)
}

function plot(
  title: string,
  series: readonly Series[],
  fixed: { low: number; high: number } | null,
  mark: { round: number; value: number } | null,
): Markup {
  const all = series.flatMap((one) => one.values)
  if (all.length === 0) return html``
  const [first, last] = [least(all.map((p) => p.round)), -least(all.map((p) => -p.round))]
  const low = fixed?.low ?? 0
  const high = fixed?.high ?? -least(all.map((p) => -p.value))
  const ticks = niceTicks(low, high)
  const top = Math.max(ticks[ticks.length - 1]!, high)
  const x = (round: number): number => (last === first ? 500 : (1000 * (round - first)) / (last - first))
  const y = (value: number): number => (top === low ? 500 : 1000 - (1000 * (value - low)) / (top - low))
  const path = (one: Series): string =>
    one.values.map((p, i) => `${i === 0 ? 'M' : 'L'}${x(p.round).toFixed(1)} ${y(p.value).toFixed(1)}`).join('') +
    (one.values.length === 1 ? 'h0' : '')
  const ends = series
    .filter((one) => one.values.length > 0)
    .map(
      (one) =>
        `${one.name} ${one.values[0]!.value.toFixed(3)} to ${one.values[one.values.length - 1]!.value.toFixed(3)}`,
    )
  const rounds = first === last ? [first] : [...new Set([first, Math.round((first + last) / 2), last])]
  return html`<figure><h3>${title}</h3><div class="plot"><svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" aria-label="${title} from round ${first} to ${last}: ${ends.join('; ')}">${ticks.map(
    (tick) => html`<path class="grid" d="M0 ${y(tick).toFixed(1)}h1000"/>`,
  )}${series.filter((one) => one.values.length > 0).map((one) => html`<path class="line ${one.style}${one.index === undefined ? '' : ` ${siteColour(one.index)}`}"${one.index ? html` stroke-dasharray="${DASHES[one.index]!}"` : undefined} d="${path(one)}"/>`)}${
    mark
      ? html`<path class="mark" d="M${x(mark.round).toFixed(1)} ${y(mark.value).toFixed(1)}h0"><title>round ${mark.round}: ${ratioText(mark.value)}</title></path>`
      : undefined
  }</svg>${ticks.map((tick) => html`<span class="y" aria-hidden="true" style="bottom:${((1000 - y(tick)) / 10).toFixed(2)}%">${tickText(tick)}</span>`)}${rounds.map(
    (round, i) =>
      html`<span class="x" aria-hidden="true" style="left:${(x(round) / 10).toFixed(2)}%">${i === 0 ? 'round ' : ''}${round}</span>`,
  )}</div></figure>`
}

/** Three to six round numbers from `low` to just above `high`. */
function niceTicks(low: number, high: number): number[] {
  const span = Math.max(high - low, 1e-9)
  const power = 10 ** Math.floor(Math.log10(span / 4))
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((candidate) => span / candidate <= 5) ?? 10 * power
  const ticks: number[] = []
  for (let i = 0; low + i * step < high + step * 0.999 && i < 8; i++) ticks.push(low + i * step)
  return ticks
}

function tickText(value: number): string {
  return String(Number(value.toPrecision(3)))
}

function least(values: readonly number[]): number {
  return values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
}

function numbers(points: readonly CurvePoint[]): Markup {
  const cell = (value: number | null): Markup => html`<td>${value === null ? NOTHING : value.toFixed(4)}</td>`
  return html`<details class="more"><summary>The numbers of the curves</summary><div class="scroll" tabindex="0" role="region" aria-label="Curves as a table"><table><thead><tr><th scope="col" class="name">Round</th><th scope="col">Training loss</th><th scope="col">Training foreground Dice</th><th scope="col">Validation loss</th><th scope="col">Validation foreground Dice</th></tr></thead><tbody>${points.map(
    (point) =>
      html`<tr><th scope="row">${point.round}</th>${cell(point.trainLoss)}${cell(point.trainForegroundDice)}${cell(point.validLoss)}${cell(point.validForegroundDice)}</tr>`,
  )}</tbody></table></div></details>`
}
