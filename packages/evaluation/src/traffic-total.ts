import type { SiteTraffic } from './report.js'

/** The sum over sites; rounds: of the site that was counted in most. */
export function totalTraffic(traffic: readonly SiteTraffic[]): Omit<SiteTraffic, 'site'> {
  const sum = (key: Exclude<keyof SiteTraffic, 'site'>): number => traffic.reduce((all, one) => all + one[key], 0)
  return {
    rounds: traffic.reduce((most, { rounds }) => Math.max(most, rounds), 0),
    bytesSent: sum('bytesSent'),
    bytesReceived: sum('bytesReceived'),
    payloadSent: sum('payloadSent'),
    payloadReceived: sum('payloadReceived'),
    roundSent: sum('roundSent'),
    roundReceived: sum('roundReceived'),
  }
}

/** `4.8 %`: bytes on the wire above those of the payload. */
export function overheadText(of: Omit<SiteTraffic, 'site'>): string {
  const payload = of.payloadSent + of.payloadReceived
  if (payload === 0) return '–'
  return `${(100 * ((of.bytesSent + of.bytesReceived) / payload - 1)).toFixed(1)} %`
}
