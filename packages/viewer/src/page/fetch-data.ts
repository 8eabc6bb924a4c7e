import type { PageError } from '../page-data.js'

/** What the server said instead of data. */
export class ServerError extends Error {
  constructor({ message, hint }: Pick<PageError, 'message' | 'hint'>) {
    super([message, hint].filter((one) => one !== undefined).join('; '))
  }
}

/** @throws ServerError where a file cannot be read; TypeError where the server is gone */
export async function fetchJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await ask(path, signal ? { signal } : {})).json()
}

/** Bytes, with their entity tag. */
export async function fetchBytes(
  path: string,
  signal: AbortSignal,
): Promise<{ bytes: ArrayBuffer; etag: string | null }> {
  const response = await ask(path, { signal })
  return { bytes: await response.arrayBuffer(), etag: response.headers.get('etag') }
}

/** Asks for a thing again and again: what is returned is undefined when it is what it was. */
export function whenChanged<T>(path: string): () => Promise<T | undefined> {
  let etag: string | null = null
  return async () => {
    const response = await ask(path, { headers: etag === null ? {} : { 'if-none-match': etag } })
    if (response.status === 304) return undefined
    etag = response.headers.get('etag')
    return response.json()
  }
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  const response = await fetch(path, init)
  if (response.ok || response.status === 304) return response
  const isOurs = response.headers.get('content-type') === 'application/json'
  throw new ServerError(isOurs ? await response.json() : { message: `${response.status} ${response.statusText}` })
}
