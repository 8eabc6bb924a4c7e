import type { Statistic } from '../../statistics.js'
import { intervalText, NOTHING, ratioText } from '../format.js'
import { html, type Markup } from './markup.js'

/** Columns under one heading. */
export interface ColumnGroup {
  heading: string | Markup
  columns: readonly string[]
}

/** A table that scrolls sideways inside its own frame; its first column stays in view. */
export function scrollTable(label: string, head: Markup, rows: readonly Markup[]): Markup {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${label}"><table>${head}<tbody>${rows}</tbody></table></div>`
}

/** Two header rows: columns of their own, then groups of columns, then what follows them. */
export function groupedHead(
  lead: readonly Markup[],
  groups: readonly ColumnGroup[],
  tail: readonly Markup[] = [],
): Markup {
  const group = ({ heading, columns }: ColumnGroup): Markup =>
    html`<th scope="colgroup" class="group" colspan="${columns.length}">${heading}</th>`
  const column = (name: string, i: number): Markup =>
    html`<th scope="col"${i === 0 ? html` class="first"` : undefined}>${name}</th>`
  return html`<thead><tr>${lead}${groups.map(group)}${tail}</tr><tr>${groups.map(({ columns }) => columns.map(column))}</tr></thead>`
}

/** The cells of one group of columns. */
export function groupCells(values: readonly string[]): Markup[] {
  return values.map((value, i) => html`<td${i === 0 ? html` class="first"` : undefined}>${value}</td>`)
}

/** The columns of a number over cases, and their texts. */
export const STATISTIC_COLUMNS = ['mean', '95 % interval', 'sd', 'median', 'min', 'max', 'cases', 'left out']

export function statisticTexts(value: Statistic | undefined): string[] {
  if (!value) return STATISTIC_COLUMNS.map(() => NOTHING)
  const { mean, ci95, sd, median, min, max, cases, leftOut } = value
  return [ratioText(mean), intervalText(ci95), ...[sd, median, min, max].map(ratioText), `${cases}`, `${leftOut}`]
}
