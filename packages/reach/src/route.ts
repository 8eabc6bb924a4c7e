import type { Duplex } from 'node:stream'
import { openStream } from './open-stream.js'
import { formatProxy, type ProxyAddress } from './proxy.js'
import { type Relay, startRelay } from './relay.js'
import type { Target } from './target.js'
import { openTunnel } from './tunnel-client.js'

/** A way from a site to its coordinator. Neither: straight to the coordinator's port. */
export interface Route {
  proxy?: ProxyAddress
  /** Where the coordinator's tunnel is, in place of its port. */
  tunnel?: URL
}

/** For people: `through http://proxy:3128 to wss://trainer.example.org/meshfl`. */
export function formatRoute({ proxy, tunnel }: Route): string {
  const way = proxy ? `through ${formatProxy(proxy)}` : ''
  if (!tunnel) return way || 'direct'
  return `${way} by the tunnel ${tunnel.href}`.trim()
}

/** One connection along a route. @throws MeshflError what `openStream` and `openTunnel` throw */
export function openRoute(target: Target, route: Route, signal: AbortSignal): Promise<Duplex> {
  return route.tunnel ? openTunnel(route.tunnel, route.proxy, signal) : openStream(target, route.proxy, signal)
}

/** A port on the loopback that leads along a route. */
export function relayRoute(target: Target, route: Route, onFailed: (error: unknown) => void): Promise<Relay> {
  return startRelay({ open: (signal) => openRoute(target, route, signal), onFailed })
}
