import { connect, type Socket } from 'node:net'

/** Connections that never say a word. The coordinator ends each when the time for its handshake is up; then it comes again. */
export class IdleStrangers {
  readonly #port: number
  readonly #sockets = new Set<Socket>()
  #isOpen = true

  constructor(port: number, count: number) {
    this.#port = port
    for (let i = 0; i < count; i++) this.#connect()
  }

  close(): void {
    this.#isOpen = false
    for (const socket of this.#sockets) socket.destroy()
  }

  #connect(): void {
    const socket = connect(this.#port, '127.0.0.1')
    this.#sockets.add(socket)
    socket.on('error', () => undefined) // its close follows
    socket.on('close', () => {
      this.#sockets.delete(socket)
      if (this.#isOpen) this.#connect()
    })
  }
}
