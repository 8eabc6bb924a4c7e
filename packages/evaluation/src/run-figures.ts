import type { EventOf, MeshflEvent } from '@meshfl/core'
import type { ReportInput } from './build-report.js'
import type { CrossSite, CurvePoint, SiteCurve, SiteTraffic } from './report.js'

/** What the events of a run say of it: the parts of a report that need no scan. */
export function runFigures(
  events: readonly MeshflEvent[],
): Pick<ReportInput, 'curves' | 'siteCurves' | 'crossSite' | 'traffic'> {
  return {
    curves: curvesFromEvents(events),
    siteCurves: siteCurvesFromEvents(events),
    crossSite: crossSiteFromEvents(events),
    traffic: trafficFromEvents(events),
  }
}

/** The curves of a run from its events, a point a round. A round that was done twice, after a crash, keeps its last. */
export function curvesFromEvents(events: Iterable<MeshflEvent>): CurvePoint[] {
  const points = new Map<number, CurvePoint>()
  for (const event of events) {
    if (event.type !== 'round-finished') continue
    points.set(event.round, {
      round: event.round,
      trainLoss: event.trainLoss,
      trainForegroundDice: event.trainDice?.foregroundDice ?? null,
      validLoss: event.validLoss,
      validForegroundDice: event.validDice?.foregroundDice ?? null,
    })
  }
  return [...points.values()].sort((a, b) => a.round - b.round)
}

/** The curves of each site of a federation, sorted by name. Of a run on one machine, whose curves are those of the run, there are none. */
export function siteCurvesFromEvents(events: Iterable<MeshflEvent>): SiteCurve[] {
  const sites = new Map<string, Map<number, CurvePoint>>()
  for (const event of events) {
    if (event.type !== 'site-trained' && event.type !== 'site-evaluated') continue
    const points = sites.get(event.site) ?? new Map<number, CurvePoint>()
    sites.set(event.site, points)
    const nothing = { trainLoss: null, trainForegroundDice: null, validLoss: null, validForegroundDice: null }
    const before = points.get(event.round) ?? { round: event.round, ...nothing }
    const { loss, dice } = event
    const measured =
      event.type === 'site-trained'
        ? { trainLoss: loss, trainForegroundDice: dice.foregroundDice }
        : { validLoss: loss, validForegroundDice: event.cases > 0 ? dice.foregroundDice : null }
    points.set(event.round, { ...before, ...measured })
  }
  if (sites.size < 2) return []
  return [...sites]
    .map(([site, points]) => ({ site, points: [...points.values()].sort((a, b) => a.round - b.round) }))
    .sort((a, b) => (a.site < b.site ? -1 : 1))
}

/** The last cross-site table of a run. */
export function crossSiteFromEvents(events: readonly MeshflEvent[]): CrossSite | undefined {
  const event = events.findLast((one) => one.type === 'cross-site')
  return event && { round: event.round, scores: event.scores }
}

interface Bytes {
  bytesSent: number
  bytesReceived: number
  payloadSent: number
  payloadReceived: number
}

/**
 * The bytes of each site over a whole run, sorted by name, as its coordinator counts them. Its count begins anew with its process,
 * and at the end of a round it is kept: bytes between the last whole round and a crash are in no figure.
 */
export function trafficFromEvents(events: Iterable<MeshflEvent>): SiteTraffic[] {
  const totals = new Map<string, SiteTotal>()
  for (const event of events) {
    if (event.type === 'run-started') for (const total of totals.values()) total.restart()
    if (event.type !== 'traffic' || event.round === undefined) continue
    const total = totals.get(event.site) ?? new SiteTotal()
    totals.set(event.site, total)
    total.add(event.round, event)
  }
  return [...totals].map(([site, total]) => ({ site, ...total.figures() })).sort((a, b) => (a.site < b.site ? -1 : 1))
}

const KEYS = ['bytesSent', 'bytesReceived', 'payloadSent', 'payloadReceived'] as const

class SiteTotal {
  readonly #sum: Bytes = { bytesSent: 0, bytesReceived: 0, payloadSent: 0, payloadReceived: 0 }
  readonly #rounds = new Map<number, { sent: number; received: number }>()
  /** The count when it was last told; nothing after a restart. */
  #last: Bytes | undefined

  restart(): void {
    this.#last = undefined
  }

  add(round: number, { bytesSent, bytesReceived, payloadSent = 0, payloadReceived = 0 }: EventOf<'traffic'>): void {
    const now = { bytesSent, bytesReceived, payloadSent, payloadReceived }
    const before = this.#last
    const isAnew = before === undefined || KEYS.some((key) => now[key] < before[key])
    const more = (key: (typeof KEYS)[number]): number => now[key] - (isAnew ? 0 : before[key])
    // What comes after a round's own figures, as the comparison at the end, is in the sum alone.
    if (!this.#rounds.has(round)) this.#rounds.set(round, { sent: more('bytesSent'), received: more('bytesReceived') })
    for (const key of KEYS) this.#sum[key] += more(key)
    this.#last = now
  }

  figures(): Omit<SiteTraffic, 'site'> {
    const rounds = [...this.#rounds.values()]
    return {
      rounds: rounds.length,
      ...this.#sum,
      roundSent: median(rounds.map(({ sent }) => sent)),
      roundReceived: median(rounds.map(({ received }) => received)),
    }
  }
}

/** The upper one of an even number. */
function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
