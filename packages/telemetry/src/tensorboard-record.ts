import { crc32c } from './crc32c.js'

/** One number of one moment. */
export interface Scalar {
  tag: string
  value: number
}

/** The first record of an event file. */
export function versionRecord(seconds: number): Uint8Array {
  return record([double(1, seconds), text(3, 'brain.Event:2')])
}

/**
 * A record of TensorBoard's event files: `Event { wall_time = 1, step = 2, summary = 5 }` in protocol buffers
 * (tensorflow/core/util/event.proto, framework/summary.proto), framed as TFRecord.
 * @param seconds since 1970
 */
export function scalarRecord(seconds: number, step: number, scalars: readonly Scalar[]): Uint8Array {
  const values = scalars.map(({ tag, value }) => bytes(1, Buffer.concat([text(1, tag), float(2, value)])))
  return record([double(1, seconds), Buffer.concat([key(2, 0), varint(step)]), bytes(5, Buffer.concat(values))])
}

/** length, its checksum, data, its checksum. */
function record(fields: readonly Uint8Array[]): Uint8Array {
  const data = Buffer.concat(fields)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(data.length))
  return Buffer.concat([length, maskedChecksum(length), data, maskedChecksum(data)])
}

/** TFRecord turns and shifts its checksums, so that one over data with checksums in it is no special case. */
function maskedChecksum(data: Uint8Array): Uint8Array {
  const crc = crc32c(data)
  const masked = Buffer.alloc(4)
  masked.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0)
  return masked
}

const key = (field: number, type: number): Uint8Array => Uint8Array.of((field << 3) | type)

function varint(value: number): Uint8Array {
  const parts: number[] = []
  let rest = value
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) parts.push((rest % 128) | 0x80)
  return Uint8Array.of(...parts, rest)
}

function double(field: number, value: number): Uint8Array {
  const data = Buffer.alloc(8)
  data.writeDoubleLE(value)
  return Buffer.concat([key(field, 1), data])
}

function float(field: number, value: number): Uint8Array {
  const data = Buffer.alloc(4)
  data.writeFloatLE(value)
  return Buffer.concat([key(field, 5), data])
}

const bytes = (field: number, data: Uint8Array): Uint8Array => Buffer.concat([key(field, 2), varint(data.length), data])

const text = (field: number, value: string): Uint8Array => bytes(field, Buffer.from(value))
