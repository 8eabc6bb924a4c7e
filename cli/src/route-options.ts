import type { ProxyAddress, Relay, Route, Target } from '@meshfl/reach'
import type { Command } from 'commander'

export interface RouteOptions {
  proxy?: string
  tunnel?: string
}

/** Adds the options that say how to get out of a firewall. */
export function withRouteOptions(command: Command): Command {
  return command
    .option(
      '--proxy <url>',
      'go through a proxy: socks5://host:1080 or http://host:3128, with user:password@ if need be',
    )
    .option('--tunnel <url>', 'go by the coordinator’s WebSocket tunnel: wss://trainer.example.org/meshfl')
}

/** @throws MeshflError `PROXY_INVALID`, `TUNNEL_INVALID` */
export async function routeFromOptions(options: RouteOptions): Promise<Route> {
  const { parseProxy, parseTunnel } = await import('@meshfl/reach')
  return {
    ...(options.proxy === undefined ? {} : { proxy: parseProxy(options.proxy) }),
    ...(options.tunnel === undefined ? {} : { tunnel: parseTunnel(options.tunnel) }),
  }
}

/**
 * A relay where the options ask for a detour; undefined where a site connects by itself.
 * @param say gets what stands in the way, once a change
 */
export async function relayFromOptions(
  options: RouteOptions,
  target: Target,
  say: (words: string) => void,
): Promise<Relay | undefined> {
  if (options.proxy === undefined && options.tunnel === undefined) return undefined
  const [{ MeshflError }, { formatRoute, relayRoute }] = await Promise.all([
    import('@meshfl/core'),
    import('@meshfl/reach'),
  ])
  const describe = (error: unknown): string => {
    const hint = error instanceof MeshflError && error.hint ? ` (${error.hint})` : ''
    return `${error instanceof Error ? error.message : String(error)}${hint}`
  }
  const route = await routeFromOptions(options)
  say(`going ${formatRoute(route)}`)
  let said = ''
  return relayRoute(target, route, (error) => {
    const words = describe(error)
    if (words !== said) say(words)
    said = words
  })
}

/** The proxies to try: the one asked for, and those that the environment names. */
export async function proxiesToTry(options: RouteOptions): Promise<ProxyAddress[]> {
  const { proxiesOfEnvironment } = await import('@meshfl/reach')
  const { proxy } = await routeFromOptions(options)
  return [...(proxy ? [proxy] : []), ...proxiesOfEnvironment(process.env)]
}
