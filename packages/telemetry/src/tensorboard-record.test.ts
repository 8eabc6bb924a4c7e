import fc from 'fast-check'
import { expect, test } from 'vitest'
import { crc32c } from './crc32c.js'
import { scalarRecord, versionRecord } from './tensorboard-record.js'

test('the checksum is CRC-32C', () => {
  // The check value of the CRC catalogue, and the 32 zero bytes of RFC 3720, B.4.
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa)
})

/** A reader of protocol buffers that knows nothing of what is written here. */
function decode(data: Buffer): [field: number, value: number | Buffer][] {
  const fields: [number, number | Buffer][] = []
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = data[at++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  while (at < data.length) {
    const key = varint()
    const type = key & 7
    let value: number | Buffer
    if (type === 0) value = varint()
    else {
      const length = type === 1 ? 8 : type === 5 ? 4 : varint()
      const bytes = data.subarray(at, at + length)
      value = type === 1 ? bytes.readDoubleLE() : type === 5 ? bytes.readFloatLE() : bytes
      at += length
    }
    fields.push([key >>> 3, value])
  }
  return fields
}

const unmask = (masked: number): number => {
  const rotated = (masked - 0xa282ead8) >>> 0
  return ((rotated >>> 17) | (rotated << 15)) >>> 0
}

function payload(record: Uint8Array): Buffer {
  const bytes = Buffer.from(record)
  const length = Number(bytes.readBigUInt64LE())
  expect(bytes.length).toBe(length + 16)
  expect(unmask(bytes.readUInt32LE(8))).toBe(crc32c(bytes.subarray(0, 8)))
  expect(unmask(bytes.readUInt32LE(12 + length))).toBe(crc32c(bytes.subarray(12, 12 + length)))
  return bytes.subarray(12, 12 + length)
}

test('an event file begins with its version', () => {
  expect(decode(payload(versionRecord(1.5)))).toEqual([
    [1, 1.5],
    [3, Buffer.from('brain.Event:2')],
  ])
})

test('what is written of a round is read back', () => {
  const scalar = fc.record({ tag: fc.string(), value: fc.float({ noNaN: true }) })
  fc.assert(
    fc.property(fc.double({ noNaN: true }), fc.nat(), fc.array(scalar, { maxLength: 5 }), (seconds, step, scalars) => {
      const fields = decode(payload(scalarRecord(seconds, step, scalars)))
      expect(fields.slice(0, 2)).toEqual([
        [1, seconds],
        [2, step],
      ])
      const values = decode(fields[2]![1] as Buffer).map(([, value]) => decode(value as Buffer))
      expect(values.map(([tag, value]) => ({ tag: (tag![1] as Buffer).toString(), value: value![1] }))).toEqual(
        scalars.map(({ tag, value }) => ({ tag: Buffer.from(tag).toString(), value })),
      )
    }),
  )
})
