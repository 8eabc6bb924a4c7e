import { request } from 'node:http'
import type { Socket } from 'node:net'
import { formatHostPort, MeshflError } from '@meshfl/core'
import { formatProxy, type ProxyAddress } from './proxy.js'
import type { Target } from './target.js'

/** A connection through an HTTP proxy by its CONNECT method (RFC 9110, 9.3.6). @throws MeshflError `PROXY_REFUSED` */
export function connectByHttp(proxy: ProxyAddress, target: Target, signal: AbortSignal): Promise<Socket> {
  const authority = formatHostPort(target)
  const credentials = Buffer.from(`${proxy.username ?? ''}:${proxy.password ?? ''}`).toString('base64')
  return new Promise((resolve, reject) => {
    const ask = request({
      host: proxy.host,
      port: proxy.port,
      method: 'CONNECT',
      path: authority,
      headers: {
        host: authority,
        ...(proxy.username === undefined ? {} : { 'proxy-authorization': `Basic ${credentials}` }),
      },
      agent: false,
      signal,
    })
    ask.once('connect', (response, socket, head) => {
      if (response.statusCode === 200) {
        if (head.length > 0) socket.unshift(head)
        resolve(socket as Socket)
        return
      }
      socket.destroy()
      reject(refusal(proxy, authority, response.statusCode ?? 0, response.statusMessage ?? ''))
    })
    // A server that is no proxy answers CONNECT like any other request.
    ask.once('response', (response) => {
      response.destroy()
      reject(refusal(proxy, authority, response.statusCode ?? 0, response.statusMessage ?? ''))
    })
    ask.once('error', reject)
    ask.end()
  })
}

function refusal(proxy: ProxyAddress, authority: string, status: number, words: string): MeshflError {
  const hint =
    status === 407
      ? 'give its user and password: http://user:password@host:port'
      : `ask whoever runs the proxy to allow CONNECT to ${authority}; many allow port 443 only`
  return new MeshflError(
    'PROXY_REFUSED',
    `${formatProxy(proxy)} does not connect to ${authority}: ${status} ${words}`.trim(),
    {
      hint,
      data: { status },
    },
  )
}
