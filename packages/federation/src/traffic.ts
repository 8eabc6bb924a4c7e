import type { Told } from './coordinator-state.js'

/** Bytes that each site sent and was sent: of frames, without what encryption and TCP add. */
export class Traffic {
  readonly #sites = new Map<string, { bytesSent: number; bytesReceived: number; told: number }>()

  count(site: string, way: 'bytesSent' | 'bytesReceived', frames: readonly Uint8Array[]): void {
    const traffic = this.#sites.get(site) ?? { bytesSent: 0, bytesReceived: 0, told: 0 }
    for (const frame of frames) traffic[way] += frame.length
    this.#sites.set(site, traffic)
  }

  /** Of the sites whose figures have changed since the last time. */
  news(): Told[] {
    return [...this.#sites].flatMap(([site, traffic]): Told[] => {
      const { bytesSent, bytesReceived, told } = traffic
      if (bytesSent + bytesReceived === told) return []
      traffic.told = bytesSent + bytesReceived
      return [{ type: 'traffic', site, bytesSent, bytesReceived }]
    })
  }
}
