import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { MeshflError } from '@meshfl/core'
import type { PageError } from './page-data.js'
import type { ViewerContent } from './viewer-content.js'
import { type Body, type Resource, viewerResources } from './viewer-resources.js'
import { routeRequest } from './viewer-routes.js'

export interface ViewerServer {
  /** With the token: whoever has it can look. */
  readonly url: string
  readonly port: number
  /** Ends at once, also with open connections. */
  close(): Promise<void>
}

export interface ViewerServerOptions {
  content: ViewerContent
  /** The scripts of the page, by the names under which they ask for each other. */
  scripts: Readonly<Record<string, URL>>
  /** 0: one that is free. */
  port?: number | undefined
  /** Which volume of 4D files, from 0. */
  volume?: number | undefined
  /** How long a connection may take to say what it wants. */
  patienceMs?: number
}

const HOST = '127.0.0.1'
/** 128 bits. */
const TOKEN_BYTES = 16
/** Whoever has not said what it wants in this time makes room for others. */
const PATIENCE_MS = 10_000
/** Node looks for them every 30 s. */
const CHECK_MS = 1000
const MOST_CONNECTIONS = 64

/**
 * Serves the page to this machine alone, under a path that cannot be guessed.
 * @throws MeshflError `BIND_FAILED`
 */
export async function startViewer({
  content,
  scripts,
  port = 0,
  volume,
  patienceMs = PATIENCE_MS,
}: ViewerServerOptions): Promise<ViewerServer> {
  const timeouts = {
    ...{ headersTimeout: patienceMs, requestTimeout: patienceMs },
    connectionsCheckingInterval: Math.min(CHECK_MS, patienceMs),
  }
  const token = randomBytes(TOKEN_BYTES).toString('base64url')
  const resources = viewerResources(content, scripts, volume)
  const server = createServer({ ...timeouts }, (request, response) => {
    const { port: own } = server.address() as AddressInfo
    const asked = { method: request.method ?? '', url: request.url ?? '', host: request.headers.host }
    const routed = routeRequest(asked, { token, port: own, names: resources })
    if ('status' in routed) return refuse(response, routed.status, own)
    answer(request, response, resources.get(routed.resource)!)
  })
  server.maxConnections = MOST_CONNECTIONS
  await new Promise<void>((resolve, reject) => {
    // Later ones are of connections that could not be taken: nobody is there to be told.
    server.on('error', (error) =>
      reject(
        new MeshflError('BIND_FAILED', `cannot listen on ${HOST}:${port} for the page: ${error.message}`, {
          hint: 'choose another --port, or leave it out for one that is free',
          cause: error,
        }),
      ),
    )
    server.listen(port, HOST, resolve)
  })
  const { port: own } = server.address() as AddressInfo
  return {
    url: `http://${HOST}:${own}/${token}/`,
    port: own,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

const COMMON_HEADERS = {
  'x-content-type-options': 'nosniff',
  // The token is in the address.
  'referrer-policy': 'no-referrer',
  // Scans are not to stay in the browser's cache.
  'cache-control': 'no-store',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
}

const WORDS = {
  403: (port: number) =>
    `open it as http://127.0.0.1:${port}/ with the token behind it; through ssh -L, with ${port} on both ends\n`,
  404: () => 'not found\n',
  405: () => 'GET and HEAD only\n',
}

function refuse(response: ServerResponse, status: keyof typeof WORDS, port: number): void {
  // Of a body that nobody asked for, nothing is read.
  response.writeHead(status, { ...COMMON_HEADERS, 'content-type': 'text/plain', connection: 'close' })
  response.end(WORDS[status](port))
}

function answer(request: IncomingMessage, response: ServerResponse, resource: Resource): void {
  const send = (status: number, type: string, { content, etag }: Body): void => {
    if (response.destroyed) return
    if (etag !== undefined && request.headers['if-none-match'] === etag) {
      response.writeHead(304, { ...COMMON_HEADERS, etag })
      response.end()
      return
    }
    response.writeHead(status, {
      ...(etag === undefined ? {} : { etag }),
      ...COMMON_HEADERS,
      'content-type': type,
      'content-security-policy': resource.policy,
      'content-length': Buffer.byteLength(content),
    })
    response.end(request.method === 'HEAD' ? undefined : content)
  }
  resource
    .body(() => !response.destroyed)
    .then(
      (body) => send(200, resource.type, body),
      (error: unknown) => send(500, 'application/json', { content: JSON.stringify(pageError(error)) }),
    )
}

function pageError(error: unknown): PageError {
  if (!(error instanceof MeshflError)) return { code: 'INTERNAL', message: String(error) }
  return { code: error.code, message: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) }
}
