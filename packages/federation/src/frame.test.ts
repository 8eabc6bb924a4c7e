import { modelSha256 } from '@meshfl/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  checkSignature,
  decodeModelBody,
  decodeSigned,
  decodeUnsigned,
  encodeJsonBody,
  encodeModelBody,
  encodeSigned,
  encodeUnsigned,
  ProtocolError,
  peekType,
} from './frame.js'
import { createIdentity } from './identity.js'
import { describeFake, LAYOUT, randomModel } from './loopback.fixture.js'
import { HEADERS, type Header, type MessageType, SiteDescriptionSchema } from './messages.js'

const identity = createIdentity()
const session = Buffer.alloc(32, 7)
const signer = { signingPublic: identity.signingPublic, sender: 'coordinator', session } as const
const author = { identity, sender: 'coordinator', session } as const
const KEY = Buffer.alloc(32, 5)
const types = Object.keys(HEADERS) as MessageType[]
const hash = 'a'.repeat(64)
const model = randomModel('body')
const task: Header<'TASK'> = {
  v: 1,
  type: 'TASK',
  purpose: 'train',
  round: 1,
  base: modelSha256(model),
}

test('a signed message comes back as it was sent', () => {
  const frames = encodeSigned(author, task, [encodeModelBody(model)])
  const { header, bodies } = decodeSigned(frames, ['TASK'], signer, LAYOUT)
  expect(header).toEqual(task)
  expect(modelSha256(decodeModelBody(LAYOUT, bodies[0]!, { expectedSha256: task.base }))).toBe(task.base)
})

test('the largest description of a site that is allowed has room in a JOIN, and not much more has', () => {
  const join: Header<'JOIN'> = { v: 1, type: 'JOIN', working: { purpose: 'train', round: 1, base: hash } }
  const letter = '\u8166' // three bytes as UTF-8
  const description = {
    ...describeFake('x'.repeat(64)),
    ...{ trainCases: 0xffffffff, validCases: 0xffffffff, classes: 128, findings: 0xffffffff },
    classNames: Array.from({ length: 128 }, () => letter.repeat(64)),
    ...{ labelMap: letter.repeat(200), engine: letter.repeat(200), instructionSet: letter.repeat(200) },
    ...{ precision: letter.repeat(20), version: letter.repeat(64) },
    ...{ voxelSizeMm: 0.123456789012345, plannedBytes: 2 ** 53 - 1, memoryBytes: 2 ** 53 - 1 },
    conform: { mode: 'freesurfer', shape: [4096, 4096, 4096], orientation: 'RAS' },
  }
  expect(SiteDescriptionSchema.parse(description)).toEqual(description)
  const read = (body: Uint8Array) =>
    decodeSigned(encodeSigned({ ...author, sender: 'site' }, join, [body]), ['JOIN'], { ...signer, sender: 'site' })
  expect(() => read(encodeJsonBody(description))).not.toThrow()
  expect(() => read(Buffer.from(`{"classNames":[${Array(11_000).fill('{}').join(',')}]}`))).toThrow(
    'a body of 33016 bytes, more than 32768',
  )
})

test('a message of another login, sender or signer is refused', () => {
  const frames = encodeSigned(author, task, [encodeModelBody(model)])
  for (const other of [
    { ...signer, session: Buffer.alloc(32, 8) },
    { ...signer, sender: 'site' as const },
    { ...signer, signingPublic: createIdentity().signingPublic },
    { ...signer, signingPublic: Buffer.alloc(32) },
  ])
    expect(() => decodeSigned(frames, ['TASK'], other, LAYOUT)).toThrow('the signature is wrong')
})

test('a large body that comes a second time is right again, and one that differs in a byte from the last one is not', () => {
  const sent = encodeSigned(author, task, [Buffer.alloc(9000, 3)])
  const copy = (change?: number): Uint8Array[] => {
    const frames = sent.map((frame) => Uint8Array.from(frame))
    if (change !== undefined) frames[1]![change]! ^= 1
    return frames
  }
  checkSignature(copy(), signer)
  checkSignature(copy(), signer)
  for (const at of [0, 4500, 8999]) {
    expect(() => checkSignature(copy(at), signer)).toThrow('the signature is wrong')
    checkSignature(copy(), signer)
  }
})

test('a code is as good as a signature where the login has a key, and only that login’s', () => {
  const key = Buffer.alloc(32, 9)
  const frames = encodeSigned({ ...author, key }, task, [encodeModelBody(model)])
  expect(decodeSigned(frames, ['TASK'], { ...signer, key }, LAYOUT).header).toEqual(task)
  for (const other of [
    signer,
    { ...signer, key: Buffer.alloc(32, 8) },
    { ...signer, key, session: Buffer.alloc(32, 8) },
    { ...signer, key, sender: 'site' as const },
  ])
    expect(() => decodeSigned(frames, ['TASK'], other, LAYOUT)).toThrow('the signature is wrong')
})

test.each([
  ['signed', (bodies: Uint8Array[]) => encodeSigned(author, task, bodies)],
  ['sealed', (bodies: Uint8Array[]) => encodeSigned({ ...author, key: KEY }, task, bodies)],
])('any change of any byte of a %s message is refused', (_, encode) => {
  const frames = encode([encodeModelBody(model)])
  fc.assert(
    fc.property(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }), (frame, at, change) => {
      const spoiled = frames.map((bytes) => Uint8Array.from(bytes))
      const bytes = spoiled[frame % spoiled.length]!
      bytes[at % bytes.length]! ^= change
      expect(() => decodeSigned(spoiled, types, { ...signer, key: KEY }, LAYOUT)).toThrow(ProtocolError)
    }),
    { numRuns: 200 },
  )
})

test('bytes move from one frame to the next only with a wrong signature', () => {
  const [header, body, signature] = encodeSigned(author, task, [encodeModelBody(model)])
  const moved = [Buffer.concat([header!, body!.subarray(0, 4)]), body!.subarray(4), signature!]
  expect(() => decodeSigned(moved, ['TASK'], signer, LAYOUT)).toThrow('the signature is wrong')
})

test('whatever bytes come in, the decoder reads them or refuses them as a ProtocolError', () => {
  const json = fc.json().map((text) => Buffer.from(text))
  const almost = fc
    .record({
      v: fc.constantFrom(1, 2, '1'),
      type: fc.constantFrom(...types),
      round: fc.anything(),
      nonce: fc.anything(),
    })
    .map((value) => {
      try {
        return Buffer.from(JSON.stringify(value) ?? '')
      } catch {
        return Buffer.alloc(0)
      }
    })
  const frame = fc.oneof(fc.uint8Array({ maxLength: 5000 }), json, almost)
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 6 }), fc.boolean(), (frames, isSigned) => {
      const tried = isSigned && frames.length > 0 ? [...frames.slice(0, -1), new Uint8Array(64)] : frames
      for (const read of [
        () => peekType(tried),
        () => decodeUnsigned(tried, 'HELLO'),
        () => decodeSigned(tried, types, signer, LAYOUT),
        () => decodeModelBody(LAYOUT, tried[0] ?? new Uint8Array(), { expectedSha256: hash }),
      ]) {
        try {
          read()
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError)
        }
      }
    }),
    { numRuns: 500 },
  )
})

test('a type without words is refused as a ProtocolError, signed or not', () => {
  const header = { v: 1, type: { toString: 0, valueOf: 0 } } as unknown as Header
  expect(() => decodeUnsigned(encodeUnsigned(header), 'HELLO')).toThrow(ProtocolError)
  expect(() => decodeSigned(encodeSigned(author, header), types, signer, LAYOUT)).toThrow('of type object is not due')
})

test('whatever a reason holds, it fits its header and comes back', () => {
  const odd = fc.constantFrom('\u0000', '\u001b', '\ud800', '\udc00', '€', '😀', '"', '\\', '\u2028', 'a')
  const words = fc.string({ unit: odd, maxLength: 3000, size: 'max' })
  fc.assert(
    fc.property(words, (reason) => {
      const frames = encodeSigned(author, { v: 1, type: 'DENY', code: 'FEDERATION_DENIED', reason })
      const read = decodeSigned(frames, ['DENY'], signer).header.reason
      expect(read).toHaveLength(Math.min(reason.length, 1000))
      expect(read).not.toMatch(/[\p{Cc}\p{Cs}]/u)
    }),
    { numRuns: 200 },
  )
})

test('a greeting with a key that the schema does not name is refused, a signed message keeps what it knows', () => {
  expect(() => decodeUnsigned(encodeUnsigned({ v: 1, type: 'WHO', more: 1 } as never), 'WHO')).toThrow(/more/)
  const frames = encodeSigned(author, { v: 1, type: 'PONG', more: 1 } as never)
  expect(decodeSigned(frames, ['PONG'], signer).header).toEqual({ v: 1, type: 'PONG' })
})

test('a model’s body of another length than the layout’s, or with a float that is none, is refused', () => {
  const body = encodeModelBody(model)
  expect(() => decodeModelBody(LAYOUT, body.subarray(4), { expectedSha256: task.base })).toThrow('596 bytes')
  const spoiled = body.slice()
  new DataView(spoiled.buffer).setFloat32(8, Number.NaN, true)
  expect(() => decodeModelBody(LAYOUT, spoiled, { expectedSha256: task.base })).toThrow('float 2 is NaN')
  const unaligned = new Uint8Array(body.length + 1)
  unaligned.set(body, 1)
  expect(modelSha256(decodeModelBody(LAYOUT, unaligned.subarray(1), { expectedSha256: task.base }))).toBe(task.base)
})
