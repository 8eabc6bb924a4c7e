import type { Random } from '@meshfl/core'
import type { Header } from '../../../packages/federation/src/messages.js'

/** A message as its sender meant it, before anything is done to it. */
export interface Meant {
  header: Header
  bodies: readonly Uint8Array[]
}

type Sign = (header: unknown, bodies: readonly Uint8Array[]) => Uint8Array[]
type Mutation = (meant: Meant, sign: Sign, random: Random) => Uint8Array[]

const pick = <T>(random: Random, items: readonly T[]): T => items[random.integer(items.length)]!

export function noise(random: Random, bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes)
  for (let i = 0; i < bytes; i++) buffer[i] = random.integer(256)
  return buffer
}

/** Values that a schema's author may not have thought of. */
function oddValue(random: Random): unknown {
  const deep = (depth: number): unknown => (depth === 0 ? [] : [deep(depth - 1)])
  return pick<() => unknown>(random, [
    () => null,
    () => -1,
    () => 2 ** 53,
    () => 1e308,
    () => 0.5,
    () => '',
    () => 'x'.repeat(random.integer(3000)),
    () => '\u0000\u001b[2J\ud800',
    () => true,
    () => [],
    () => ({}),
    () => deep(random.integer(500)),
    () => random.uint32(),
    () => noise(random, 32).toString('hex'),
    () => noise(random, 32).toString('base64url'),
    () => ({ purpose: 'train', round: random.uint32(), base: '0'.repeat(64) }),
    () => '../../../etc/passwd',
    () => '__proto__',
  ])()
}

const TYPES = [
  'CHALLENGE',
  'WELCOME',
  'ADMIT',
  'DENY',
  'TASK',
  'ACK',
  'PONG',
  'WHO',
  'DONE',
  'SOMEDAY',
  '__proto__',
  'constructor',
]

/** What is done to a signed message, by name. No one of them makes another valid update of it. */
export const MUTATIONS: Record<string, Mutation> = {
  'bits flipped'(meant, sign, random) {
    const frames = sign(meant.header, meant.bodies).map((frame) => Buffer.from(frame))
    for (let i = random.integer(8); i >= 0; i--) {
      const frame = pick(random, frames)
      if (frame.length > 0) frame[random.integer(frame.length)]! ^= 1 << random.integer(8)
    }
    return frames
  },
  'a frame cut off'(meant, sign, random) {
    const frames = sign(meant.header, meant.bodies)
    const at = random.integer(frames.length)
    return frames.map((frame, i) => (i === at ? frame.subarray(0, random.integer(frame.length + 1)) : frame))
  },
  'frames left out, doubled or added'(meant, sign, random) {
    const frames = sign(meant.header, meant.bodies)
    const at = random.integer(frames.length)
    const middle = pick(random, [[], [frames[at]!, frames[at]!], [noise(random, random.integer(100)), frames[at]!]])
    return [...frames.slice(0, at), ...middle, ...frames.slice(at + 1)]
  },
  'frames in another order': (meant, sign, random) => random.shuffle(sign(meant.header, meant.bodies)),
  'many frames': (_, __, random) =>
    Array.from({ length: 1 + random.integer(255) }, () => noise(random, random.integer(20))),
  'noise in every frame': (_, __, random) =>
    Array.from({ length: 1 + random.integer(5) }, () => noise(random, random.integer(300))),
  'a field with an odd value, signed'(meant, sign, random) {
    const header: Record<string, unknown> = { ...meant.header }
    header[pick(random, Object.keys(header))] = oddValue(random)
    return sign(header, meant.bodies)
  },
  'a field missing or added, signed'(meant, sign, random) {
    const header: Record<string, unknown> = { ...meant.header }
    if (random.integer(2) === 0) delete header[pick(random, Object.keys(header))]
    else header[pick(random, ['constructor', 'extra', 'toString', 'toJSON'])] = oddValue(random)
    return sign(header, meant.bodies)
  },
  'a type that is not due, signed': (meant, sign, random) =>
    sign({ ...meant.header, type: pick(random, TYPES) }, meant.bodies),
  'another body, signed'(meant, sign, random) {
    const body = pick<() => Uint8Array>(random, [
      () => new Uint8Array(random.integer(600_000)),
      () => Buffer.from('['.repeat(random.integer(250_000))),
      () => Buffer.from(`${'{"a":'.repeat(2000)}1${'}'.repeat(2000)}`),
      () => noise(random, random.integer(3000)),
      () => Buffer.from(JSON.stringify({ loss: oddValue(random), dice: oddValue(random), seconds: oddValue(random) })),
      () => new Uint8Array(new Float32Array(50).fill(Number.NaN).buffer),
    ])()
    const at = random.integer(Math.max(1, meant.bodies.length))
    return sign(
      meant.header,
      meant.bodies.length === 0 ? [body] : meant.bodies.map((old, i) => (i === at ? body : old)),
    )
  },
  // Of the fields that the encoder does not look at itself.
  'a version or a type without words, signed': (meant, sign, random) =>
    sign({ ...meant.header, [pick(random, ['v', 'type'])]: { toString: 0, valueOf: 0 } }, meant.bodies),
  'a description of what no dataset has, signed'(meant, sign, random) {
    if (meant.header.type !== 'JOIN') return sign(meant.header, [])
    const description = JSON.parse(Buffer.from(meant.bodies[0]!).toString()) as Record<string, unknown>
    const letter = pick(random, ['\u0001', '\ud800', '€', '"'])
    description.classNames = Array.from({ length: random.integer(129) }, () => letter.repeat(random.integer(65)))
    description.classes = 1 + random.integer(4)
    description.engine = letter.repeat(random.integer(201))
    description.labelMap = letter.repeat(random.integer(201))
    return sign(meant.header, [Buffer.from(JSON.stringify(description))])
  },
  'a header nested deeply': (meant, sign, random) => {
    const depth = random.integer(2500)
    const text = Buffer.from(`${'['.repeat(depth)}${random.integer(2) ? ']'.repeat(depth) : ''}`)
    return [text, ...sign(meant.header, meant.bodies).slice(1)]
  },
  'a header too long': (meant, sign, random) => [
    Buffer.alloc(4097 + random.integer(100_000), 0x20),
    ...sign(meant.header, meant.bodies).slice(1),
  ],
  'another signature'(meant, sign, random) {
    const frames = sign(meant.header, meant.bodies)
    return [...frames.slice(0, -1), noise(random, pick(random, [0, 1, 32, 63, 64, 65, 1000]))]
  },
}
export const MUTATION_NAMES = Object.keys(MUTATIONS)
