import { type CaseMetrics, worstFirst } from '../../case-metrics.js'
import type { Report } from '../../report.js'
import type { Statistic } from '../../statistics.js'
import { casesText, meshflDiceName, mlText, mmText, NOTHING, nsdName, ratioText, signedMlText } from '../format.js'
import { classKey } from './class-key.js'
import { html, type Markup } from './markup.js'
import { groupCells, groupedHead, STATISTIC_COLUMNS, scrollTable, statisticTexts } from './table.js'

/** More classes than this have only their Dice in the table of cases: cases.csv has the rest. */
const MOST_FULL_CLASSES = 3

const MEANS = ['Jaccard', 'sensitivity', 'precision', 'true mL', 'predicted mL', 'error mL']

function className(name: string, index: number): Markup {
  return html`<span class="swatch ${classKey(index)}"></span> ${name}`
}

/** The figures over all cases: the foreground mean, each class, then background and the reference's mean, apart. */
export function classTable(report: Report): Markup {
  const { summary, classes } = report
  const row = (style: string, label: Markup, dice: Statistic | undefined, means: readonly string[]): Markup =>
    html`<tr class="${style}"><th scope="row">${label}</th>${groupCells(statisticTexts(dice))}${groupCells(means)}</tr>`
  const classRow = (index: number): Markup => {
    const { name } = classes[index]!
    const of = (id: string): number | null | undefined => summary.perClass[name]?.[id]?.mean
    return row(index === 0 ? 'aside' : '', className(name, index), summary.perClass[name]?.dice, [
      ...['jaccard', 'sensitivity', 'precision'].map((id) => ratioText(of(id))),
      mlText(of('truthMl')),
      mlText(of('predictionMl')),
      signedMlText(of('volumeErrorMl')),
    ])
  }
  const nothing = MEANS.map(() => '')
  return scrollTable(
    'Metrics of each class over all cases',
    groupedHead(
      [html`<th scope="col" class="name" rowspan="2">Class</th>`],
      [
        { heading: 'Dice', columns: STATISTIC_COLUMNS },
        { heading: 'Mean over cases', columns: MEANS },
      ],
    ),
    [
      row('total', html`Foreground mean`, summary.foregroundDice, nothing),
      ...classes.slice(1).map((_, i) => classRow(i + 1)),
      classRow(0),
      row('aside', html`${meshflDiceName(report)}`, summary.meshflDice, nothing),
    ],
  )
}

/** What was measured of surfaces over all cases. */
export function surfaceTable({ conventions: { surface }, classes, summary }: Report): Markup | undefined {
  if (surface === undefined) return undefined
  const spread = (text: (value: number | null | undefined) => string, one: Statistic | undefined): string[] =>
    [one?.mean, one?.sd, one?.median, one?.min, one?.max].map(text)
  const columns = ['mean', 'sd', 'median', 'min', 'max']
  return scrollTable(
    'Surfaces of each class over all cases',
    groupedHead(
      [html`<th scope="col" class="name" rowspan="2">Class</th>`],
      [
        { heading: nsdName(surface), columns },
        { heading: 'HD95, mm', columns },
        { heading: 'Mean, mm', columns: ['ASSD', 'HD'] },
        { heading: 'Distances', columns: ['cases', 'left out'] },
      ],
    ),
    classes.slice(1).map(({ name }, i) => {
      const of = (id: string): Statistic | undefined => summary.perClass[name]?.[id]
      return html`<tr><th scope="row">${className(name, i + 1)}</th>${groupCells(spread(ratioText, of('nsd')))}${groupCells(
        spread(mmText, of('hd95')),
      )}${groupCells(['assd', 'hd'].map((id) => mmText(of(id)?.mean)))}${groupCells([
        `${of('hd95')?.cases ?? 0}`,
        `${of('hd95')?.leftOut ?? 0}`,
      ])}</tr>`
    }),
  )
}

/** Every case, the worst first. */
export function caseTable(report: Report, anchors: ReadonlyMap<string, string>): Markup {
  const classes = report.classes.slice(1)
  const full = classes.length <= MOST_FULL_CLASSES
  const ofSurface = report.conventions.surface ? ['NSD', 'HD95'] : []
  const columns = full ? ['Dice', 'sens.', 'prec.', 'true mL', 'error mL', ...ofSurface] : ['Dice']
  const hasSites = report.sites !== undefined
  const row = (one: CaseMetrics): Markup => {
    const anchor = anchors.get(one.subject)
    const subject = anchor ? html`<a href="#${anchor}">${one.subject}</a>` : one.subject
    return html`<tr><th scope="row" title="${one.subject}">${subject}</th>${
      hasSites ? html`<td class="name">${one.site ?? NOTHING}</td>` : undefined
    }<td class="bar">${bar(one.foregroundDice)}${ratioText(one.foregroundDice)}</td>${classes.map(({ name }) =>
      groupCells(classTexts(one, name).slice(0, columns.length)),
    )}<td class="first quiet">${ratioText(one.meshflDice)}</td></tr>`
  }
  const [mean, background] = meshflDiceName(report).split(' (')
  return scrollTable(
    'Metrics of each case',
    groupedHead(
      [
        html`<th scope="col" class="name" rowspan="2">Subject</th>`,
        ...(hasSites ? [html`<th scope="col" class="name" rowspan="2">Site</th>`] : []),
        html`<th scope="col" rowspan="2">Foreground Dice</th>`,
      ],
      classes.map(({ name }, i) => ({ heading: className(name, i + 1), columns })),
      [html`<th scope="col" rowspan="2" class="first">${mean}<br>(${background}</th>`],
    ),
    worstFirst(report.cases).map(row),
  )
}

function bar(value: number | null): Markup {
  const width = 100 * Math.max(0, Math.min(1, value ?? 0))
  return html`<span class="track" aria-hidden="true"><i style="width:${width.toFixed(1)}%"></i></span>`
}

function classTexts(one: CaseMetrics, name: string): string[] {
  const of = (id: string): number | null | undefined => one.perClass[name]?.[id]
  const ratios = ['dice', 'sensitivity', 'precision'].map((id) => ratioText(of(id)))
  return [
    ...[...ratios, mlText(of('truthMl')), signedMlText(of('volumeErrorMl'))],
    ...[ratioText(of('nsd')), mmText(of('hd95'))],
  ]
}

/** The foreground Dice, and that of each class, site by site. */
export function siteSection(report: Report): Markup | undefined {
  if (!report.sites) return undefined
  const classes = report.classes.slice(1)
  const table = scrollTable(
    'Dice of each site',
    groupedHead(
      [html`<th scope="col" class="name" rowspan="2">Site</th>`],
      [
        { heading: 'Foreground Dice', columns: STATISTIC_COLUMNS },
        { heading: 'Mean Dice', columns: classes.map((one) => one.name) },
      ],
    ),
    report.sites.map(
      ({ site, cases, summary }) =>
        html`<tr><th scope="row" title="${casesText({ cases, subjects: summary.meshflDice.subjects })}">${site}</th>${groupCells(statisticTexts(summary.foregroundDice))}${groupCells(
          classes.map(({ name }) => ratioText(summary.perClass[name]?.dice?.mean)),
        )}</tr>`,
    ),
  )
  return html`<section aria-labelledby="sites"><h2 id="sites">Sites</h2><p class="lead">The same cases by the site that holds them.</p>${table}</section>`
}
