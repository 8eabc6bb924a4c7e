import { join } from 'node:path'
import { type EventOf, formatBytes, readEventLog } from '@meshfl/core'
import {
  type CrossSite,
  crossSiteFromEvents,
  overheadText,
  type SiteTraffic,
  scoreMatrix,
  totalTraffic,
  trafficFromEvents,
} from '@meshfl/evaluation'
import { describeResult, type RunResult } from './describe-result.js'

/** A table with more columns does not fit a terminal. */
const MOST_SITES = 8

/** The result of a federation: that of a run, with its bytes and, where there is one, the cross-site table. */
export function describeFederation(result: RunResult, path: string): [EventOf<'done'>, string] {
  const [event, text] = describeResult(result, path)
  const events = readEventLog(join(path, 'events.jsonl'), ['run-started', 'traffic', 'cross-site'])
  const traffic = trafficFromEvents(events)
  const crossSite = crossSiteFromEvents(events)
  const { bytesSent, bytesReceived, payloadSent, payloadReceived } = totalTraffic(traffic)
  return [
    {
      ...event,
      ...(traffic.length > 0 ? { traffic: { bytesSent, bytesReceived, payloadSent, payloadReceived } } : {}),
    },
    [
      ...(crossSite ? [crossSiteText(crossSite)] : []),
      ...(traffic.length > 0 ? [trafficText(traffic)] : []),
      text,
      `curves, sites and traffic as a page: meshfl eval ${path}`,
    ].join('\n'),
  ]
}

function trafficText(traffic: readonly SiteTraffic[]): string {
  const total = totalTraffic(traffic)
  const sites = traffic.length === 1 ? '1 site' : `${traffic.length} sites`
  const [sent, received] = [total.roundSent, total.roundReceived].map((bytes) =>
    formatBytes(Math.round(bytes / traffic.length)),
  )
  return `traffic: ${formatBytes(total.bytesSent)} to ${sites}, ${formatBytes(total.bytesReceived)} from them, ${overheadText(total)} over payload; per site and round ${sent} and ${received}`
}

/** Foreground Dice: a line a model, a column a site. */
function crossSiteText(crossSite: CrossSite): string {
  const { sites, rows } = scoreMatrix(crossSite)
  const title = `foreground Dice of every model at every site, round ${crossSite.round}`
  if (sites.length > MOST_SITES) return `${title}: ${sites.length} sites, see the report`
  const cells = [
    ['model of', ...sites.map(({ site }) => site), 'all cases'],
    ...rows.map(({ model, dice, mean }) => [model, ...[...dice, mean].map((value) => value?.toFixed(4) ?? '-')]),
  ]
  const widths = cells[0]!.map((_, i) => Math.max(...cells.map((row) => row[i]!.length)))
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')
  return [title, ...cells.map((row) => `  ${line(row)}`)].join('\n')
}
