import { formatBytes } from '@meshfl/core'
import type { Report, SiteTraffic } from '../../report.js'
import { scoreMatrix } from '../../score-matrix.js'
import { overheadText, totalTraffic } from '../../traffic-total.js'
import { countText, ratioText } from '../format.js'
import { html, type Markup } from './markup.js'
import { groupCells, groupedHead, scrollTable } from './table.js'

/** Larger tables are no longer read: report.json has all figures. */
const MOST_SITES = 32
const MOST_TRAFFIC_ROWS = 200

/** Every model on every site's validation cases: the best of a column stands out. */
export function crossSiteSection({ crossSite }: Report): Markup | undefined {
  if (!crossSite) return undefined
  const { sites, rows } = scoreMatrix(crossSite)
  const shown = sites.slice(0, MOST_SITES)
  const best = shown.map((_, i) => highest(rows.map(({ dice }) => dice[i] ?? null)))
  const bestMean = highest(rows.map(({ mean }) => mean))
  const cell = (value: number | null, top: number | null, isFirst: boolean): Markup =>
    html`<td class="${isFirst ? 'first ' : ''}${value !== null && value === top ? 'best' : ''}">${ratioText(value)}</td>`
  const table = scrollTable(
    'Foreground Dice of every model on the validation cases of every site',
    groupedHead(
      [html`<th scope="col" class="name" rowspan="2">Model of</th>`],
      [{ heading: 'Validation cases of', columns: shown.map(({ site }) => site) }],
      [html`<th scope="col" rowspan="2" class="first">All cases</th>`],
    ),
    rows
      .slice(0, MOST_SITES + 1)
      .map(
        ({ model, dice, mean }) =>
          html`<tr><th scope="row">${model}</th>${shown.map((_, i) => cell(dice[i]!, best[i]!, i === 0))}${cell(mean, bestMean, true)}</tr>`,
      ),
  )
  const left = sites.length - shown.length
  return html`<section aria-labelledby="cross-site"><h2 id="cross-site">Every model at every site</h2><p class="lead">Foreground Dice of each site's last model and of the global one after round ${crossSite.round}, on each site's own validation cases (${countText(
    sites.reduce((sum, { cases }) => sum + cases, 0),
    'case',
  )}). The highest of each column is bold.${left > 0 ? ` ${countText(left, 'more site')} in report.json.` : ''}</p>${table}</section>`
}

/** Bytes to and from each site, over the run and in a round. */
export function trafficSection({ traffic = [] }: Report): Markup | undefined {
  if (traffic.length === 0) return undefined
  const shown = traffic.slice(0, MOST_TRAFFIC_ROWS)
  const left = traffic.length - shown.length
  const total = totalTraffic(traffic)
  const row = (style: string, name: string, of: Omit<SiteTraffic, 'site'>): Markup =>
    html`<tr class="${style}"><th scope="row">${name}</th>${groupCells([of.bytesSent, of.roundSent].map(formatBytes))}${groupCells(
      [of.bytesReceived, of.roundReceived].map(formatBytes),
    )}${groupCells([overheadText(of), `${of.rounds}`])}</tr>`
  const table = scrollTable(
    'Bytes between the coordinator and each site',
    groupedHead(
      [html`<th scope="col" class="name" rowspan="2">Site</th>`],
      [
        { heading: 'To the site', columns: ['in all', 'a round'] },
        { heading: 'From the site', columns: ['in all', 'a round'] },
        { heading: 'Both ways', columns: ['over payload', 'rounds'] },
      ],
    ),
    [...(traffic.length > 1 ? [row('total', 'All sites', total)] : []), ...shown.map((one) => row('', one.site, one))],
  )
  return html`<section aria-labelledby="traffic"><h2 id="traffic">Traffic</h2><p class="lead">Bytes in the TCP stream, with framing, encryption and signatures; a round is the median. Over payload: what comes on top of models, scores and descriptions.${
    left > 0 ? ` ${countText(left, 'more site')} in report.json.` : ''
  }</p>${table}</section>`
}

function highest(values: readonly (number | null)[]): number | null {
  return values.reduce((top, value) => (value !== null && (top === null || value > top) ? value : top), null)
}
