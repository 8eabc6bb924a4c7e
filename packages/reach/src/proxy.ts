import { formatHostPort, MeshflError } from '@meshfl/core'

/** A proxy that stands between a site and the outside. */
export interface ProxyAddress {
  kind: 'socks5' | 'http'
  host: string
  port: number
  username?: string
  password?: string
}

const PORTS = { socks5: 1080, http: 3128 } as const
const KINDS: Record<string, ProxyAddress['kind']> = { 'socks5:': 'socks5', 'socks5h:': 'socks5', 'http:': 'http' }

/**
 * `socks5://[user:password@]host[:1080]` or `http://[user:password@]host[:3128]`.
 * @throws MeshflError `PROXY_INVALID`
 */
export function parseProxy(text: string): ProxyAddress {
  const url = URL.canParse(text) ? new URL(text) : null
  const kind = url && KINDS[url.protocol]
  if (!url || !kind || url.hostname === '' || (url.pathname !== '' && url.pathname !== '/')) {
    // The text may hold a password: it is not repeated.
    throw new MeshflError('PROXY_INVALID', 'this is no address of a proxy', {
      kind: 'usage',
      hint: 'write it as socks5://host:1080 or http://host:3128, with user:password@ before the host where it asks for them',
    })
  }
  // URL leaves out the port that a protocol has by default: for http that is 80.
  const port = url.port === '' ? (/^http:\/\/[^/]*:80(?:\/|$)/.test(text) ? 80 : PORTS[kind]) : Number(url.port)
  return {
    kind,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port,
    ...(url.username === '' ? {} : { username: decoded(url.username) }),
    ...(url.password === '' ? {} : { password: decoded(url.password) }),
  }
}

/** A % that begins no code stands for itself: who writes a password as it is does not know of codes. */
function decoded(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (codes) => {
    try {
      return decodeURIComponent(codes)
    } catch {
      return codes
    }
  })
}

/** A proxy as text, without its password. */
export function formatProxy({ kind, host, port, username }: ProxyAddress): string {
  const user = username === undefined ? '' : `${encodeURIComponent(username)}@`
  return `${kind}://${user}${formatHostPort({ host, port })}`
}

/** The proxies that the environment names (HTTPS_PROXY, ALL_PROXY, HTTP_PROXY, in either case), each once. */
export function proxiesOfEnvironment(env: NodeJS.ProcessEnv): ProxyAddress[] {
  const found = new Map<string, ProxyAddress>()
  for (const name of ['HTTPS_PROXY', 'ALL_PROXY', 'HTTP_PROXY']) {
    const text = env[name] ?? env[name.toLowerCase()]
    if (!text) continue
    try {
      const proxy = parseProxy(text)
      found.set(formatProxy(proxy), proxy)
    } catch (error) {
      if (!(error instanceof MeshflError)) throw error // one that is written otherwise is for other programs
    }
  }
  return [...found.values()]
}
