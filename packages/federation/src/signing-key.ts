/** 2^255 - 19, the field of Ed25519. */
const FIELD = 2n ** 255n - 19n

/**
 * The y of the eight points whose order divides 8, two points a value but for 1 and -1: under such a key somebody who knows no secret
 * makes signatures that are right for any message. The values are those that libsodium refuses (`ge25519_has_small_order` in ed25519_ref10.c) and that
 * Chalkias, Garillot and Nikolaenko list (2020, _Taming the many EdDSAs_, table 1).
 */
const SMALL_ORDER: ReadonlySet<bigint> = new Set([
  0n, // order 4
  1n, // the neutral point
  FIELD - 1n, // order 2
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n, // order 8
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n, // order 8
])

/**
 * Whether 32 bytes can be an Ed25519 key of somebody: what RFC 8032 (5.1.3) refuses and OpenSSL takes is none, a y of the field's size
 * or above, and neither is a point of small order, whichever sign it is written with. Whether they are a point at all is not looked at.
 */
export function isSigningKey(raw: Uint8Array): boolean {
  if (raw.length !== 32) return false
  const bigEndian = Buffer.from(raw).reverse()
  bigEndian[0]! &= 0x7f // the sign of x
  const y = BigInt(`0x${bigEndian.toString('hex')}`)
  return y < FIELD && !SMALL_ORDER.has(y)
}
