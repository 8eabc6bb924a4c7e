import { createHash, timingSafeEqual } from 'node:crypto'

/** What of a request decides who is answered. */
export interface Asked {
  method: string
  /** As it stands in the request's first line. */
  url: string
  /** The Host header. */
  host: string | undefined
}

/** The name of a resource in the list of all that is served, or the status of a refusal. */
export type Routed = { resource: string } | { status: 403 | 404 | 405 }

/**
 * Which resource a request asks for. The path behind the token is looked up as it stands, letter by letter, in `names`: no part of
 * it is decoded or joined to a folder.
 */
export function routeRequest(
  { method, url, host }: Asked,
  { token, port, names }: { token: string; port: number; names: Pick<ReadonlySet<string>, 'has'> },
): Routed {
  // A name of somebody else's that was made to point here would have the browser take this page for theirs (DNS rebinding).
  if (!isOurHost(host, port)) return { status: 403 }
  const [path] = url.split('?', 1)
  const match = /^\/([^/]*)\/(.*)$/s.exec(path!)
  // Without the token nobody learns what there is.
  if (match === null || !isSame(match[1]!, token)) return { status: 404 }
  if (method !== 'GET' && method !== 'HEAD') return { status: 405 }
  const resource = match[2]!
  return names.has(resource) ? { resource } : { status: 404 }
}

function isOurHost(host: string | undefined, port: number): boolean {
  const names = ['127.0.0.1', 'localhost']
  return names.some((name) => host === `${name}:${port}` || (port === 80 && host === name))
}

/** In the same time wherever they differ, and whatever their length. */
function isSame(a: string, b: string): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(a), hash(b))
}
