import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** A line between a site and its coordinator that counts what goes over it, and can be made as bad as lines get. */
export class TcpProxy {
  /** Both ways, without TCP's own headers. */
  bytes = 0
  connections = 0
  /** Bytes a second each way of each connection. */
  bytesPerSecond = Number.POSITIVE_INFINITY
  readonly #target: number
  readonly #server: Server
  readonly #pairs = new Set<[Socket, Socket]>()
  #isStalled = false

  private constructor(target: number) {
    this.#target = target
    this.#server = createServer((client) => this.#connected(client))
  }

  /** @param target port on this machine */
  static async open(target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Ends every connection with a reset. */
  reset(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy()
  }

  /** Ends every connection at one end only: the other goes on to believe in it. @param whose who hears of it */
  halfClose(whose: 'site' | 'coordinator'): void {
    for (const [site, coordinator] of this.#pairs) {
      const [told, left] = whose === 'site' ? [site, coordinator] : [coordinator, site]
      left.unpipe()
      told.unpipe()
      left.removeAllListeners('close')
      told.resetAndDestroy()
      left.pause()
    }
  }

  /** From now on nothing goes through, and no connection ends: what a pulled cable does. */
  stall(): void {
    this.#isStalled = true
    for (const pair of this.#pairs) for (const socket of pair) socket.pause()
  }

  goOn(): void {
    this.#isStalled = false
    for (const pair of this.#pairs) for (const socket of pair) socket.resume()
  }

  async close(): Promise<void> {
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #connected(client: Socket): void {
    this.connections += 1
    const server = connect(this.#target, '127.0.0.1')
    const pair: [Socket, Socket] = [client, server]
    this.#pairs.add(pair)
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.setNoDelay()
      from.on('error', () => undefined) // its close follows
      from.on('data', (data) => this.#carry(data, from, to))
      from.on('close', () => {
        this.#pairs.delete(pair)
        to.destroy()
      })
      if (this.#isStalled) from.pause()
    }
  }

  #carry(data: Buffer, from: Socket, to: Socket): void {
    this.bytes += data.length
    to.write(data)
    if (!Number.isFinite(this.bytesPerSecond)) return
    from.pause()
    setTimeout(() => this.#isStalled || from.resume(), (1000 * data.length) / this.bytesPerSecond)
  }
}
