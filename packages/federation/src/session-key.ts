import {
  createHmac,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  type KeyObject,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto'
import { curvePrivateKey, rawPublicKey } from './identity.js'

/** Bytes of a message's authentication code: HMAC-SHA-256. */
export const CODE_BYTES = 32

/**
 * A login's own X25519 key pair. Its public key, fresh for every login, is the nonce that the login shows. It is not made by
 * `generateKeyPairSync`: what Node keeps of that call locks the key when it is collected, and where that happens while the key is
 * being exported, which locks it as well, the thread waits for itself for ever (seen with Node 20.20, once in some hundred thousand keys).
 */
export class Ephemeral {
  /** Base64url. */
  readonly nonce: string
  readonly #secret: KeyObject

  constructor() {
    this.#secret = curvePrivateKey(randomBytes(32))
    this.nonce = rawPublicKey(this.#secret).toString('base64url')
  }

  /**
   * What both ends of a login share and nobody else knows: both nonces are part of the transcript, which both ends have signed.
   * @param theirs the other end's nonce
   * @returns undefined where that is no key to agree on anything with
   */
  agree(theirs: string, transcript: Uint8Array): Buffer | undefined {
    try {
      const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: theirs }, format: 'jwk' })
      const shared = diffieHellman({ privateKey: this.#secret, publicKey })
      return Buffer.from(hkdfSync('sha256', shared, transcript, 'meshfl/1 session', 32))
    } catch {
      return undefined // a point of small order: OpenSSL refuses what anybody could compute
    }
  }
}

/** The code of a digest under a login's key. */
export function codeOf(key: Uint8Array, digest: Uint8Array): Buffer {
  return createHmac('sha256', key).update(digest).digest()
}

export function isCode(key: Uint8Array, digest: Uint8Array, code: Uint8Array): boolean {
  return code.length === CODE_BYTES && timingSafeEqual(codeOf(key, digest), code)
}
