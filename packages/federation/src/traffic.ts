import type { Told } from './coordinator-state.js'
import { payloadBytes, wireBytes } from './wire-bytes.js'

/** Bytes that each site sent and was sent since it logged in: on the wire, and of them the payload. */
export class Traffic {
  readonly #sites = new Map<string, Count>()

  count(site: string, way: 'sent' | 'received', frames: readonly Uint8Array[]): void {
    const count = this.#sites.get(site) ?? { ...NOTHING }
    addTraffic(count, way, frames)
    this.#sites.set(site, count)
  }

  /** Of the sites whose figures have changed since the last time. */
  news(): Told[] {
    return [...this.#sites].flatMap(([site, count]): Told[] => {
      const { told, ...figures } = count
      if (figures.bytesSent + figures.bytesReceived === told) return []
      count.told = figures.bytesSent + figures.bytesReceived
      return [{ type: 'traffic', site, ...figures }]
    })
  }

  /** Of all sites, at the end of a round: these are kept in the run's log. */
  atEndOf(round: number): Told[] {
    return [...this.#sites].map(([site, { told: _, ...figures }]) => ({ type: 'traffic', site, round, ...figures }))
  }
}

export interface TrafficFigures {
  bytesSent: number
  bytesReceived: number
  payloadSent: number
  payloadReceived: number
}

interface Count extends TrafficFigures {
  told: number
}

const NOTHING: Count = { bytesSent: 0, bytesReceived: 0, payloadSent: 0, payloadReceived: 0, told: 0 }

/** Adds a message to the figures of its sender or its receiver. */
export function addTraffic(figures: TrafficFigures, way: 'sent' | 'received', frames: readonly Uint8Array[]): void {
  if (way === 'sent') {
    figures.bytesSent += wireBytes(frames)
    figures.payloadSent += payloadBytes(frames)
  } else {
    figures.bytesReceived += wireBytes(frames)
    figures.payloadReceived += payloadBytes(frames)
  }
}
