/** What a field of a protobuf message holds: a number (varint), a float32, text or bytes, or messages. */
type Value = number | { float: number } | string | Uint8Array

/** Fields, one after the other (https://protobuf.dev/programming-guides/encoding). */
export const message = (...fields: Uint8Array[]): Uint8Array => Buffer.concat(fields)

export function field(number: number, value: Value): Uint8Array {
  if (typeof value === 'number') return Buffer.concat([varint(number << 3), varint(value)])
  if (typeof value === 'object' && 'float' in value) {
    const bytes = Buffer.alloc(4)
    bytes.writeFloatLE(value.float)
    return Buffer.concat([varint((number << 3) | 5), bytes])
  }
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes])
}

/** A whole number, seven bits a byte, lowest first. */
function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let left = value
  while (left > 127) {
    bytes.push((left % 128) | 128)
    left = Math.floor(left / 128)
  }
  return Uint8Array.from([...bytes, left])
}

/** The fields of a message that was read, by number, each in the order of the file. */
export interface Fields {
  /** Bytes of text, of bytes or of a message. */
  bytes(number: number): Uint8Array[]
  text(number: number): string[]
  /** Whole numbers, also those that are packed; above 2^53, as of a negative one, only nearly right. */
  numbers(number: number): number[]
  /** Little-endian bytes of fixed-length numbers, also those that are packed. */
  fixed(number: number): Uint8Array
}

/** More than a file of the largest network has: fields of its messages, of which a tensor's bytes are one, and whole numbers in lists. */
const MOST_FIELDS = 100_000

interface Field {
  /** 0 varint, 1 eight bytes, 2 any number of bytes, 5 four bytes. */
  wire: number
  value: number
  bytes: Uint8Array
}

/**
 * Gives a function that reads the fields of the messages of one file; nothing within a field is read before it is asked for. All messages
 * have one bound together, so that many of them cannot take what one may not.
 * @throws the error that `malformed` makes of what is wrong
 */
export function createFieldReader(malformed: (what: string) => Error): (message: Uint8Array) => Fields {
  let left = MOST_FIELDS
  const count = (): void => {
    if (left-- === 0) throw malformed(`its messages have more than ${MOST_FIELDS} fields`)
  }
  return (message) => readFields(message, count, malformed)
}

function readFields(message: Uint8Array, count: () => void, malformed: (what: string) => Error): Fields {
  const found = new Map<number, Field[]>()
  for (let at = 0; at < message.byteLength; ) {
    count()
    const key = readVarint(message, at, malformed)
    const [number, wire] = [Math.floor(key.value / 8), key.value % 8]
    let begin = key.end
    let end = begin
    let value = 0
    switch (wire) {
      case 0:
        ;({ value, end } = readVarint(message, begin, malformed))
        break
      case 1:
        end = begin + 8
        break
      case 2: {
        const length = readVarint(message, begin, malformed)
        begin = length.end
        end = begin + length.value
        break
      }
      case 5:
        end = begin + 4
        break
      default:
        throw malformed(`a field of it is of kind ${wire}`)
    }
    if (end > message.byteLength) throw malformed('a field of it ends behind its message')
    const list = found.get(number) ?? []
    list.push({ wire, value, bytes: message.subarray(begin, end) })
    found.set(number, list)
    at = end
  }
  const of = (number: number, wire: number): Field[] => (found.get(number) ?? []).filter((each) => each.wire === wire)
  return {
    bytes: (number) => of(number, 2).map(({ bytes }) => bytes),
    text: (number) => of(number, 2).map(({ bytes }) => Buffer.from(bytes).toString('utf8')),
    numbers: (number) => {
      const values = of(number, 0).map(({ value }) => value)
      for (const { bytes } of of(number, 2)) unpack(bytes, values, count, malformed)
      return values
    },
    fixed: (number) =>
      Buffer.concat((found.get(number) ?? []).flatMap(({ wire, bytes }) => (wire === 0 ? [] : [bytes]))),
  }
}

function unpack(bytes: Uint8Array, values: number[], count: () => void, malformed: (what: string) => Error): void {
  for (let at = 0; at < bytes.byteLength; ) {
    count()
    const { value, end } = readVarint(bytes, at, malformed)
    values.push(value)
    at = end
  }
}

function readVarint(bytes: Uint8Array, begin: number, malformed: (what: string) => Error) {
  let value = 0
  for (let i = 0; i < 10; i++) {
    const byte = bytes[begin + i]
    if (byte === undefined) throw malformed('it ends within a number')
    value += (byte & 127) * 128 ** i
    if (byte < 128) return { value, end: begin + i + 1 }
  }
  throw malformed('a number of it is too long')
}
