import { type CaseMetrics, worstFirst } from '../../case-metrics.js'
import type { Report } from '../../report.js'
import type { Statistic } from '../../statistics.js'
import { countText, meshflDiceName, mlText, NOTHING, ratioText, signedMlText } from '../format.js'
import { classKey } from './class-key.js'
import { html, type Markup } from './markup.js'

const scroll = (label: string, table: Markup): Markup =>
  html`<div class="scroll" tabindex="0" role="region" aria-label="${label}">${table}</div>`
const cells = (values: readonly string[]): Markup[] => values.map((value) => html`<td>${value}</td>`)

/** The figures over all cases: the foreground mean, each class, and the reference's mean apart from them. */
export function classTable(report: Report): Markup {
  const { summary } = report
  const row = (label: Markup, style: string, dice: Statistic | undefined, rest: readonly string[]): Markup =>
    html`<tr class="${style}"><th scope="row">${label}</th>${cells([...diceCells(dice), ...rest])}</tr>`
  const none = Array.from({ length: 6 }, () => '')
  return scroll(
    'Metrics of each class over all cases',
    html`<table><thead><tr><th scope="col" class="name" rowspan="2">Class</th><th scope="colgroup" class="group" colspan="7">Dice</th><th scope="colgroup" class="group" colspan="6">Mean over cases</th></tr><tr>${[
      'mean',
      'sd',
      'median',
      'min',
      'max',
      'cases',
      'left out',
      'Jaccard',
      'sensitivity',
      'precision',
      'true mL',
      'predicted mL',
      'error mL',
    ].map(
      (name, i) => html`<th scope="col" class="${i === 0 || i === 7 ? 'first' : ''}">${name}</th>`,
    )}</tr></thead><tbody>${row(html`Foreground mean`, 'total', summary.foregroundDice, none)}${report.classes.map(
      ({ name }, index) => {
        const of = (id: string): number | null | undefined => summary.perClass[name]?.[id]?.mean
        return row(
          html`<span class="swatch ${classKey(index)}"></span> ${name}`,
          index === 0 ? 'aside' : '',
          summary.perClass[name]?.dice,
          [
            ...['jaccard', 'sensitivity', 'precision'].map((id) => ratioText(of(id))),
            mlText(of('truthMl')),
            mlText(of('predictionMl')),
            signedMlText(of('volumeErrorMl')),
          ],
        )
      },
    )}${row(html`${meshflDiceName(report)}`, 'aside', summary.meshflDice, none)}</tbody></table>`,
  )
}

function diceCells(dice: Statistic | undefined): string[] {
  if (!dice) return Array.from({ length: 7 }, () => NOTHING)
  return [...[dice.mean, dice.sd, dice.median, dice.min, dice.max].map(ratioText), `${dice.cases}`, `${dice.leftOut}`]
}

/** Every case, the worst first. Beyond three classes only their Dice is shown: cases.csv has the rest. */
export function caseTable(report: Report, anchors: ReadonlyMap<string, string>): Markup {
  const classes = report.classes.slice(1)
  const full = classes.length <= 3
  const heads = full ? ['Dice', 'sens.', 'prec.', 'true mL', 'error mL'] : ['Dice']
  const hasSites = report.sites !== undefined
  return scroll(
    'Metrics of each case',
    html`<table><thead><tr><th scope="col" class="name" rowspan="2">Subject</th>${
      hasSites ? html`<th scope="col" rowspan="2" class="name">Site</th>` : undefined
    }<th scope="col" rowspan="2">Foreground Dice</th>${classes.map(
      ({ name }, index) =>
        html`<th scope="colgroup" class="group" colspan="${heads.length}"><span class="swatch ${classKey(index + 1)}"></span> ${name}</th>`,
    )}<th scope="col" rowspan="2" class="first">${meshflDiceName(report)
      .replace(' (', '\n(')
      .split('\n')
      .map((part, i) => (i === 0 ? html`${part}` : html`<br>${part}`))}</th></tr><tr>${classes.map(() =>
      heads.map((head, i) => html`<th scope="col" class="${i === 0 ? 'first' : ''}">${head}</th>`),
    )}</tr></thead><tbody>${worstFirst(report.cases).map((one) => {
      const anchor = anchors.get(one.subject)
      return html`<tr><th scope="row" title="${one.subject}">${anchor ? html`<a href="#${anchor}">${one.subject}</a>` : one.subject}</th>${
        hasSites ? html`<td class="name">${one.site ?? NOTHING}</td>` : undefined
      }<td class="bar">${bar(one.foregroundDice)}${ratioText(one.foregroundDice)}</td>${classes.map(({ name }) => classCells(one, name, full))}<td class="first quiet">${ratioText(one.meshflDice)}</td></tr>`
    })}</tbody></table>`,
  )
}

function bar(value: number | null): Markup {
  const width = Math.max(0, Math.min(1, value ?? 0)) * 100
  return html`<span class="track" aria-hidden="true"><i style="width:${width.toFixed(1)}%"></i></span>`
}

function classCells(one: CaseMetrics, name: string, full: boolean): Markup {
  const of = (id: string): number | null | undefined => one.perClass[name]?.[id]
  const dice = html`<td class="first">${ratioText(of('dice'))}</td>`
  if (!full) return dice
  return html`${dice}${cells([
    ratioText(of('sensitivity')),
    ratioText(of('precision')),
    mlText(of('truthMl')),
    signedMlText(of('volumeErrorMl')),
  ])}`
}

/** The foreground Dice, and that of each class, site by site. */
export function siteSection(report: Report): Markup | undefined {
  if (!report.sites) return undefined
  const classes = report.classes.slice(1)
  return html`<section aria-labelledby="sites"><h2 id="sites">Sites</h2><p class="lead">The same cases by the site that holds them.</p>${scroll(
    'Dice of each site',
    html`<table><thead><tr><th scope="col" class="name" rowspan="2">Site</th><th scope="colgroup" class="group" colspan="7">Foreground Dice</th><th scope="colgroup" class="group" colspan="${classes.length}">Mean Dice</th></tr><tr>${[
      'mean',
      'sd',
      'median',
      'min',
      'max',
      'cases',
      'left out',
      ...classes.map((one) => one.name),
    ].map(
      (name, i) => html`<th scope="col" class="${i === 0 || i === 7 ? 'first' : ''}">${name}</th>`,
    )}</tr></thead><tbody>${report.sites.map(
      (one) =>
        html`<tr><th scope="row" title="${countText(one.cases, 'case')}">${one.site}</th>${cells([
          ...diceCells(one.summary.foregroundDice),
          ...classes.map(({ name }) => ratioText(one.summary.perClass[name]?.dice?.mean)),
        ])}</tr>`,
    )}</tbody></table>`,
  )}</section>`
}
