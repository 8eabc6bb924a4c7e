import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Random } from '@meshfl/core'
import { noise } from './mutants.js'

const MECHANISMS = ['CURVE', 'NULL', 'PLAIN', 'GSSAPI', 'XXXXX']

/** A ZMTP 3.x greeting: signature, version, mechanism, as-server, filler. */
function greeting(random: Random, mechanism: string, minor = 1): Buffer {
  const bytes = Buffer.alloc(64)
  bytes[0] = 0xff
  bytes[9] = 0x7f
  bytes[10] = 3
  bytes[11] = minor
  bytes.write(mechanism, 12, 'latin1')
  bytes[32] = random.integer(2)
  return bytes
}

/** A frame with a length that need not be that of what follows. */
function frame(random: Random, flags: number, body: Uint8Array): Buffer {
  const length = [body.length, body.length + random.integer(300), random.integer(256), random.uint32()][
    random.integer(4)
  ]!
  if (random.integer(2) === 0) return Buffer.concat([Buffer.from([flags & ~2, length & 0xff]), body])
  const long = Buffer.alloc(9)
  long[0] = flags | 2
  long.writeUInt32BE(random.integer(4) === 0 ? random.uint32() : 0, 1)
  long.writeUInt32BE(length, 5)
  return Buffer.concat([long, body])
}

/** CURVE's HELLO command: right in its form, sealed by nobody. */
function curveHello(random: Random): Buffer {
  const body = Buffer.concat([Buffer.from('\x05HELLO\x01\x00', 'latin1'), Buffer.alloc(72), noise(random, 120)])
  return random.integer(3) === 0 ? body.subarray(0, random.integer(body.length)) : body
}

const OPENINGS: Record<string, (random: Random) => Buffer[]> = {
  'noise from the first byte': (random) => [noise(random, 1 + random.integer(2000))],
  'a greeting, then noise': (random) => [
    greeting(random, MECHANISMS[random.integer(5)]!, random.integer(256)),
    noise(random, random.integer(2000)),
  ],
  'a greeting of another mechanism': (random) => [
    greeting(random, MECHANISMS[1 + random.integer(4)]!),
    frame(random, 4, Buffer.from('\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER', 'latin1')),
    frame(random, 0, noise(random, 500)),
  ],
  'CURVE, then a HELLO of nobody': (random) => [greeting(random, 'CURVE'), frame(random, 4, curveHello(random))],
  'CURVE, then frames in place of HELLO': (random) => [
    greeting(random, 'CURVE'),
    ...Array.from({ length: 1 + random.integer(5) }, () =>
      frame(random, random.integer(256), noise(random, random.integer(400))),
    ),
  ],
  'ZMTP 1 and 2': (random) => [
    Buffer.from([0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, random.integer(3), random.integer(12)]),
    noise(random, random.integer(300)),
  ],
  'a greeting cut off': (random) => [greeting(random, 'CURVE').subarray(0, random.integer(64))],
  'nothing at all': () => [],
}
const NAMES = Object.keys(OPENINGS)

/** Connections that never get as far as a key. */
export class HostileSockets {
  readonly opened = new Map<string, number>()
  bytes = 0
  readonly #port: number
  readonly #random: Random
  readonly #open = new Set<Socket>()

  constructor(port: number, random: Random) {
    this.#port = port
    this.#random = random
  }

  /** Opens so many more, and hangs up on some that are open. @param most that are open at the same time */
  attack(connections: number, most = 200): void {
    for (const socket of this.#open) if (this.#random.integer(20) === 0) this.#end(socket)
    for (let i = 0; i < connections && this.#open.size < most; i++) this.#connect()
  }

  close(): void {
    for (const socket of this.#open) socket.destroy()
  }

  #end(socket: Socket): void {
    if (this.#random.integer(2) === 0) socket.resetAndDestroy()
    else socket.end()
  }

  #connect(): void {
    const random = this.#random
    const name = NAMES[random.integer(NAMES.length)]!
    this.opened.set(name, (this.opened.get(name) ?? 0) + 1)
    const chunks = OPENINGS[name]!(random)
    const socket = connect(this.#port, '127.0.0.1')
    this.#open.add(socket)
    socket.on('error', () => undefined) // its close follows
    socket.on('close', () => this.#open.delete(socket))
    socket.resume()
    for (const chunk of chunks) {
      this.bytes += chunk.length
      socket.write(chunk)
    }
  }
}

/** A line that spoils what goes over it to the coordinator: bits, and pieces that are left out, doubled or cut off. */
export class SpoilingLine {
  spoiled = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor(target: number, random: Random) {
    this.#server = createServer((from) => {
      const to = connect(target, '127.0.0.1')
      for (const [one, other] of [
        [from, to],
        [to, from],
      ] as const) {
        this.#sockets.add(one)
        one.on('error', () => undefined)
        one.on('close', () => {
          this.#sockets.delete(one)
          other.destroy()
        })
      }
      to.on('data', (data) => from.write(data))
      from.on('data', (data) => {
        const draw = random.uniform()
        if (draw >= 0.2) {
          to.write(data)
          return
        }
        this.spoiled += 1
        const at = random.integer(data.length)
        if (draw < 0.12) {
          data[at]! ^= 1 << random.integer(8)
          to.write(data)
        } else if (draw < 0.15) to.write(data.subarray(0, at))
        else if (draw < 0.18) to.write(Buffer.concat([data, data.subarray(at)]))
        else to.end(data.subarray(0, at))
      })
    })
  }

  async open(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return (this.#server.address() as { port: number }).port
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}
