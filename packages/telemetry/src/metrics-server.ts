import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { MeshflError } from '@meshfl/core'
import type { PrometheusMetrics } from './prometheus.js'

/** Where Prometheus reads: `http://host:port/metrics`. */
export interface MetricsServer {
  readonly host: string
  readonly port: number
  close(): Promise<void>
}

/** Connections at a time. */
export const MOST_CONNECTIONS = 256
/** Whoever has not said what it wants in this time makes room for others. */
const PATIENCE_MS = 5000

/**
 * Serves `GET /metrics`, and `GET /healthz` for whoever starts and stops containers. A connection asks once.
 * @throws MeshflError `BIND_FAILED`
 */
export async function startMetricsServer(
  metrics: PrometheusMetrics,
  listen: { host: string; port: number },
  patienceMs = PATIENCE_MS,
): Promise<MetricsServer> {
  const timeouts = { headersTimeout: patienceMs, requestTimeout: patienceMs }
  const server = createServer({ ...timeouts, connectionsCheckingInterval: patienceMs / 5 }, (request, response) => {
    const answer = (status: number, type: string, body: string): void => {
      response.writeHead(status, { 'content-type': type, connection: 'close' })
      response.end(request.method === 'HEAD' ? '' : body)
    }
    const path = request.url?.split('?')[0]
    if (request.method !== 'GET' && request.method !== 'HEAD') answer(405, 'text/plain', 'GET only\n')
    else if (path === '/healthz') answer(200, 'text/plain', 'ok\n')
    else if (path !== '/metrics') answer(404, 'text/plain', 'look at /metrics\n')
    else {
      metrics.text().then(
        (text) => answer(200, metrics.contentType, text),
        (error: unknown) => answer(500, 'text/plain', `${String(error)}\n`),
      )
    }
  })
  server.maxConnections = MOST_CONNECTIONS
  await new Promise<void>((resolve, reject) => {
    // Later ones are of connections that could not be taken: nobody is there to be told.
    server.on('error', (error) =>
      reject(
        new MeshflError('BIND_FAILED', `cannot listen on ${listen.host}:${listen.port} for metrics: ${error.message}`, {
          hint: 'choose another port for --metrics',
          cause: error,
        }),
      ),
    )
    server.listen(listen.port, listen.host, resolve)
  })
  const { address, port } = server.address() as AddressInfo
  return {
    host: address,
    port,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
