import type { ComparedPair } from '../../baseline.js'
import { FOREGROUND } from '../../gates.js'
import type { Report } from '../../report.js'
import { baselineText, intervalText, NOTHING, pText, ratioText, signedRatioText } from '../format.js'
import { html, type Markup } from './markup.js'
import { groupCells, groupedHead, scrollTable } from './table.js'

/** Cases that are shown one by one: those that have lost most. */
const MOST_CASES = 10

/** What has changed against an earlier report: over the cases, and the cases that have lost most. */
export function baselineSection(report: Report): Markup | undefined {
  const { baseline } = report
  if (!baseline) return undefined
  const overview = scrollTable(
    'Dice here and in the baseline',
    html`<thead><tr><th scope="col" class="name">Dice</th>${['here', 'baseline', 'difference', '95 % interval', 'better', 'worse', 'left out', 'p'].map((one) => html`<th scope="col">${one}</th>`)}</tr></thead>`,
    baseline.differences.map((one) => {
      const texts = [
        ...[
          ratioText(one.mean),
          ratioText(one.baseline),
          signedRatioText(one.difference),
          intervalText(one.ci95, true),
        ],
        ...[`${one.better}`, `${one.worse}`, `${one.leftOut}`, pText(one.pHolm)],
      ]
      const isTotal = one.class === FOREGROUND
      return html`<tr${isTotal ? html` class="total"` : undefined}><th scope="row">${isTotal ? 'Foreground mean' : one.class}</th>${texts.map((text) => html`<td>${text}</td>`)}</tr>`
    }),
  )
  return html`<section aria-labelledby="baseline"><h2 id="baseline">Against the baseline</h2><p class="lead">${baselineText(baseline)} A difference is the figure here less the baseline's.</p>${overview}${lostMost(report)}</section>`
}

function lostMost(report: Report): Markup | undefined {
  const { cases, differences } = report.baseline!
  // By the class that has lost most: what another has gained does not hide it.
  const changed = cases
    .map((one) => ({ ...one, loss: Math.min(...one.pairs.map((pair) => (pair ? pair.here - pair.baseline : 0))) }))
    .filter(({ loss }) => loss < 0)
    .sort((a, b) => a.loss - b.loss)
    .slice(0, MOST_CASES)
  if (changed.length === 0) return undefined
  const texts = (pair: ComparedPair): string[] =>
    pair
      ? [ratioText(pair.baseline), ratioText(pair.here), signedRatioText(pair.here - pair.baseline)]
      : [NOTHING, NOTHING, NOTHING]
  const table = scrollTable(
    'The cases that have lost most against the baseline',
    groupedHead(
      [html`<th scope="col" class="name" rowspan="2">Subject</th>`],
      differences.map((one) => ({
        heading: one.class === FOREGROUND ? 'Foreground Dice' : one.class,
        columns: ['baseline', 'here', 'change'],
      })),
    ),
    changed.map(
      ({ subject, pairs }) =>
        html`<tr><th scope="row" title="${subject}">${subject}</th>${pairs.map((pair) => groupCells(texts(pair)))}</tr>`,
    ),
  )
  return html`<h3>Cases that lost most</h3>${table}`
}
