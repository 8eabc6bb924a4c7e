import { formatProxy, type ProxyAddress } from './proxy.js'
import type { Relay } from './relay.js'
import { type Route, relayRoute } from './route.js'
import type { Target } from './target.js'

/** What came of trying one route. */
export interface Rung {
  route: Route
  works: boolean
  milliseconds: number
  /** What was found, or what stands in the way. */
  words: string
  hint?: string
}

/** What someone who listens at the far end says: whether it is the coordinator. */
export interface Knock {
  works: boolean
  words: string
  hint?: string
}

export interface LadderOptions {
  target: Target
  proxies: readonly ProxyAddress[]
  tunnel?: URL
  /** Speaks to whoever answers at a ZeroMQ endpoint. */
  knock(endpoint: string, signal: AbortSignal): Promise<Knock>
  signal: AbortSignal
}

/** The routes worth trying, simplest first: direct, every proxy, the tunnel, the tunnel through every proxy. */
export function routesOf(proxies: readonly ProxyAddress[], tunnel: URL | undefined): Route[] {
  // Of two that differ in their passwords only the first: what a person has given comes before what the environment holds.
  const names = proxies.map(formatProxy)
  const unique = proxies.filter((_, i) => names.indexOf(names[i]!) === i)
  const ways: Route[] = [{}, ...unique.map((proxy) => ({ proxy }))]
  return tunnel ? [...ways, ...ways.map((way) => ({ ...way, tunnel }))] : ways
}

/** Tries every route with a real handshake, all at once; the rungs come in the order of `routesOf`. */
export function climbLadder(options: LadderOptions): Promise<Rung[]> {
  return Promise.all(routesOf(options.proxies, options.tunnel).map((route) => tryRoute(route, options)))
}

async function tryRoute(route: Route, { target, knock, signal }: LadderOptions): Promise<Rung> {
  const started = performance.now()
  const over = new AbortController()
  let broken: Knock | undefined
  let relay: Relay | undefined
  const found = (result: Knock): Rung => ({ route, ...result, milliseconds: performance.now() - started })
  try {
    relay = await relayRoute(target, route, (error) => {
      broken ??= { works: false, words: wordsOf(error), ...hintOf(error) }
      over.abort()
    })
    const result = await knock(relay.endpoint, AbortSignal.any([signal, over.signal]))
    return found(broken ?? result)
  } catch (error) {
    if (broken) return found(broken)
    throw error
  } finally {
    await relay?.close()
  }
}

const wordsOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

function hintOf(error: unknown): { hint?: string } {
  const hint = (error as { hint?: unknown } | null)?.hint
  return typeof hint === 'string' ? { hint } : {}
}
