import type { PageError } from '../page-data.js'

/** What the server said instead of data. */
export class ServerError extends Error {
  constructor({ message, hint }: Pick<PageError, 'message' | 'hint'>) {
    super([message, hint].filter((one) => one !== undefined).join('; '))
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
  throw new ServerError(isOurs ? await response.json() : { message: `${response.status} ${response.statusText}` })
}
