import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  randomBytes,
  sign as signEd25519,
  verify as verifyEd25519,
} from 'node:crypto'
import { chmodSync, existsSync, readFileSync, statSync } from 'node:fs'
import { explainWriteError, MeshflError, sha256, writeFileAtomic } from '@meshfl/core'
import { z } from 'zod'
import { isSigningKey } from './signing-key.js'

const SeedSchema = z.string().regex(/^[A-Za-z0-9_-]{43}$/)
const KeyFileSchema = z.strictObject({
  format: z.literal('meshfl-keys/1'),
  curveSecret: SeedSchema,
  signingSecret: SeedSchema,
})

// PKCS #8 of a raw 32-byte private key (RFC 8410).
const PKCS8_X25519 = Buffer.from('302e020100300506032b656e04220420', 'hex')
const PKCS8_ED25519 = Buffer.from('302e020100300506032b657004220420', 'hex')

/** The two key pairs of a coordinator or a site: CURVE for the connection, Ed25519 for signatures. Raw keys of 32 bytes. */
export interface Identity {
  curvePublic: Buffer
  curveSecret: Buffer
  signingPublic: Buffer
  /** Ed25519 over bytes. */
  sign(data: Uint8Array): Buffer
}

/** The X25519 private key of a 32-byte secret. */
export function curvePrivateKey(secret: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_X25519, secret]), format: 'der', type: 'pkcs8' })
}

/** The X25519 public key of a 32-byte secret. */
export function curvePublicKey(secret: Uint8Array): Buffer {
  return rawPublicKey(curvePrivateKey(secret))
}

/** The identity of two 32-byte secrets. */
export function createIdentity(curveSecret: Buffer = randomBytes(32), signingSecret = randomBytes(32)): Identity {
  const signingKey = createPrivateKey({
    key: Buffer.concat([PKCS8_ED25519, signingSecret]),
    format: 'der',
    type: 'pkcs8',
  })
  return {
    curvePublic: curvePublicKey(curveSecret),
    curveSecret,
    signingPublic: rawPublicKey(signingKey),
    sign: (data) => signEd25519(null, data, signingKey),
  }
}

/**
 * Reads a key file, or makes one that only its owner can read.
 * @throws MeshflError `KEY_FILE_MALFORMED`, `DISK_FULL`, `PATH_NOT_WRITABLE`
 */
export async function loadIdentity(path: string): Promise<Identity> {
  if (!existsSync(path)) {
    const curveSecret = randomBytes(32)
    const signingSecret = randomBytes(32)
    const file: z.infer<typeof KeyFileSchema> = {
      format: 'meshfl-keys/1',
      curveSecret: curveSecret.toString('base64url'),
      signingSecret: signingSecret.toString('base64url'),
    }
    await writeFileAtomic(path, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 })
    return createIdentity(curveSecret, signingSecret)
  }
  closeToOthers(path)
  try {
    const file = KeyFileSchema.parse(JSON.parse(readFileSync(path, 'utf8')))
    return createIdentity(Buffer.from(file.curveSecret, 'base64url'), Buffer.from(file.signingSecret, 'base64url'))
  } catch (error) {
    throw new MeshflError('KEY_FILE_MALFORMED', `${path} is no key file of meshfl`, {
      hint: 'restore it from a backup; deleting it makes new keys, and then every site must be invited again',
      data: { path },
      cause: error,
    })
  }
}

/** A copy or a backup that was restored may have lost the mode. */
function closeToOthers(path: string): void {
  if (process.platform === 'win32' || (statSync(path).mode & 0o077) === 0) return
  try {
    chmodSync(path, 0o600)
  } catch (error) {
    throw explainWriteError(error, path)
  }
}

/** A run is a study at a coordinator: whoever knows both of them knows its name, and no other coordinator can show it as its own. */
export function runName(studySha256: string, signingPublic: Buffer): string {
  return sha256(`meshfl run\0${studySha256}\0${signingPublic.toString('hex')}`)
}

/** Whether an Ed25519 signature by a raw 32-byte public key is right. Anything malformed is wrong, never an exception. */
export function verifySignature(signingPublic: Uint8Array, data: Uint8Array, signature: Uint8Array): boolean {
  if (signingPublic.length !== 32 || signature.length !== 64) return false
  try {
    return verifyEd25519(null, data, publicKeyObject(signingPublic), signature)
  } catch {
    return false // 32 bytes that are no point of the curve, or nobody's key
  }
}

/** The same beside other work, in a thread of libuv's pool: a check takes as long as all else that a message needs. */
export async function verifySignatureLater(
  signingPublic: Uint8Array,
  data: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  if (signingPublic.length !== 32 || signature.length !== 64) return false
  let key: KeyObject
  try {
    key = publicKeyObject(signingPublic)
  } catch {
    return false
  }
  return new Promise((resolve) => {
    verifyEd25519(null, data, key, signature, (error, isRight) => resolve(error === null && isRight))
  })
}

/** What people compare: the first 16 bytes of SHA-256 of the signing key, as `xxxx-xxxx-...`. */
export function fingerprint(signingPublic: Uint8Array): string {
  const hex = createHash('sha256').update(signingPublic).digest('hex').slice(0, 32)
  return hex.match(/.{4}/g)!.join('-')
}

/** Reading a key takes as long as checking a signature with it, and each is used for every message of its owner. */
const keyObjects = new Map<string, KeyObject>()
const MAX_KEY_OBJECTS = 8192

function publicKeyObject(raw: Uint8Array): KeyObject {
  const x = Buffer.from(raw).toString('base64url')
  const known = keyObjects.get(x)
  if (known) return known
  if (!isSigningKey(raw)) throw new RangeError('a key that needs no secret to sign with')
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
  if (keyObjects.size >= MAX_KEY_OBJECTS) keyObjects.clear() // whoever logs in with ever new keys gets no memory for it
  keyObjects.set(x, key)
  return key
}

/** The 32 bytes of the public key that belongs to a private one. */
export function rawPublicKey(secret: KeyObject): Buffer {
  return Buffer.from(createPublicKey(secret).export({ format: 'jwk' }).x!, 'base64url')
}
