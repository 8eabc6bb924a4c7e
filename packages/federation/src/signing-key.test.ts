import { expect, test } from 'vitest'
import { createIdentity, verifySignature, verifySignatureLater } from './identity.js'
import { isSigningKey } from './signing-key.js'

/** As RFC 8032 writes a point: y little-endian, the sign of x in the last bit. */
function encode(y: bigint, sign: 0 | 1): Buffer {
  const bytes = Buffer.from(y.toString(16).padStart(64, '0'), 'hex').reverse()
  bytes[31]! |= sign << 7
  return bytes
}

const FIELD = 2n ** 255n - 19n

/** The eight points of small order in their canonical encodings, computed as L times points of the curve, L the order of the base point. */
const SMALL_ORDER = [
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0000000000000000000000000000000000000000000000000000000000000080',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
].map((hex) => Buffer.from(hex, 'hex'))

/** An x of 0 with a sign, and every y that does not lie in the field. */
const NOT_CANONICAL = [
  encode(1n, 1),
  encode(FIELD - 1n, 1),
  ...Array.from({ length: 19 }, (_, i) => FIELD + BigInt(i)).flatMap((y) => [encode(y, 0), encode(y, 1)]),
]

test('no point of small order and no encoding that is not canonical is a key', () => {
  expect(NOT_CANONICAL).toHaveLength(40)
  for (const key of [...SMALL_ORDER, ...NOT_CANONICAL])
    expect([key.toString('hex'), isSigningKey(key)]).toEqual([key.toString('hex'), false])
  expect(isSigningKey(Buffer.alloc(31, 7))).toBe(false)
})

test('keys that somebody made are keys', () => {
  for (let i = 0; i < 200; i++) expect(isSigningKey(createIdentity().signingPublic)).toBe(true)
})

test('a signature that verifies for any message under a key without a secret is wrong', async () => {
  const message = Buffer.from('anything')
  const signature = Buffer.alloc(64)
  signature[0] = 1 // R the neutral point, S 0: OpenSSL 3.0 takes it, 3.5 does not
  for (const key of [...SMALL_ORDER, ...NOT_CANONICAL]) {
    expect(verifySignature(key, message, signature)).toBe(false)
    expect(await verifySignatureLater(key, message, signature)).toBe(false)
  }
})
