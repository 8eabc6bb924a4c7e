import { type Invite, knockAtCoordinator } from '@meshfl/federation'
import { climbLadder, formatProxy, type Knock, type Route, type Rung } from '@meshfl/reach'
import { proxiesToTry, type RouteOptions, routeFromOptions } from './route-options.js'

const PATIENCE_MS = 10_000

const FINDINGS: Record<Awaited<ReturnType<typeof knockAtCoordinator>>, Knock> = {
  admitted: { works: true, words: 'the coordinator answers and admits this invite' },
  refused: {
    works: false,
    words: 'the coordinator answers and does not admit this invite',
    hint: 'ask its operator for a new invite',
  },
  stranger: {
    works: false,
    words: 'who answers does not hold the keys that the invite names',
    hint: 'a proxy may answer in its place, or the invite is of another coordinator',
  },
  silence: {
    works: false,
    words: `nobody answers in ${PATIENCE_MS / 1000} s`,
    hint: 'a firewall may drop what is sent to this address: try --proxy or --tunnel',
  },
}

/** Tries every way to an invite's coordinator with a real encrypted handshake; the invite stays unused. */
export async function tryConnections(invite: Invite, options: RouteOptions, signal: AbortSignal): Promise<Rung[]> {
  const { tunnel } = await routeFromOptions(options)
  return climbLadder({
    target: { host: invite.host, port: invite.port },
    proxies: await proxiesToTry(options),
    ...(tunnel ? { tunnel } : {}),
    knock: async (endpoint, over) => {
      const patience = AbortSignal.any([over, AbortSignal.timeout(PATIENCE_MS)])
      return FINDINGS[await knockAtCoordinator(invite, endpoint, patience)]
    },
    signal,
  })
}

/** The options of `meshfl join` that take a route. */
export function joinOptionsOf({ proxy, tunnel }: Route): string {
  const words = [
    // A password is not repeated.
    ...(proxy ? [`--proxy ${formatProxy(proxy).replace('@', ':<password>@')}`] : []),
    ...(tunnel ? [`--tunnel ${tunnel.href}`] : []),
  ]
  return words.join(' ')
}
