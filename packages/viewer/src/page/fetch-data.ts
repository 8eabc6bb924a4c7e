import type { PageError } from '../page-data.js'

/** What the server said instead of data. */
export class ServerError extends Error {
  readonly detail: PageError

  constructor(detail: PageError) {
    super([detail.message, detail.hint].filter((one) => one !== undefined).join('; '))
    this.detail = detail
  }
}

/** @throws ServerError where a file cannot be read; TypeError where the server is gone */
export async function fetchJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await ask(path, signal)).json()
}

export async function fetchBytes(path: string, signal?: AbortSignal): Promise<ArrayBuffer> {
  return (await ask(path, signal)).arrayBuffer()
}

async function ask(path: string, signal?: AbortSignal): Promise<Response> {
  const response = await fetch(path, signal ? { signal } : {})
  if (response.ok) return response
  const isOurs = response.headers.get('content-type') === 'application/json'
  throw new ServerError(
    isOurs ? await response.json() : { code: `HTTP_${response.status}`, message: response.statusText },
  )
}
