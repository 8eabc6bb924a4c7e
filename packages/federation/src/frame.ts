import { hash } from 'node:crypto'
import { bytesOf, type ModelLayout, type ModelState, sha256 } from '@meshfl/core'
import { z } from 'zod'
import { type Identity, verifySignature } from './identity.js'
import {
  BODIES,
  HEADERS,
  type Header,
  MAX_DESCRIPTION_BYTES,
  MAX_JSON_BYTES,
  MAX_TEXT_BYTES,
  MAX_WORDS,
  type MessageType,
} from './messages.js'
import { CODE_BYTES, codeOf, isCode } from './session-key.js'
import { findUnusable, floatsOf, floatView } from './vector-tensor.js'

const MAX_HEADER_BYTES = 4096
const MAX_FRAMES = 5
const SIGNATURE_BYTES = 64
const NO_BYTES = Buffer.alloc(0)
const utf8 = new TextDecoder('utf-8', { fatal: true })

/** A message that is not as the protocol says; whoever gets one drops it and says why. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}

/** The two ends of a connection: part of what a signature covers, so that no end can be shown its own words. */
type Sender = 'coordinator' | 'site'

/** A message that passed every check. */
export interface Message<T extends MessageType = MessageType> {
  header: Header<T>
  bodies: Uint8Array[]
}

/** Hash that names a login: of both headers. Everything said after it is signed over it. */
export function transcriptHash(hello: Uint8Array, challenge: Uint8Array): Buffer {
  return digestOf(Buffer.concat([Buffer.from('meshfl/1 login\0'), digestOf(hello), digestOf(challenge)]))
}

/** SHA-256 in one call: a hash object a frame takes longer than the hash of a small frame, and is one more thing to collect. */
function digestOf(bytes: Uint8Array): Buffer {
  return Buffer.from(hash('sha256', bytes, 'binary'), 'latin1')
}

/** What a frame's signature or code is over: domain, sender, login, and the hash of every frame with its length. */
function signedDigest(sender: Sender, session: Uint8Array, frames: readonly Uint8Array[]): Buffer {
  let words = `meshfl/1 frame ${sender}\0${Buffer.from(session).toString('latin1')}`
  for (const frame of frames) {
    const digest =
      frame.length < REMEMBERED_BYTES ? hash('sha256', frame, 'binary') : frameDigest(frame).toString('latin1')
    words += `${frame.length}\0${digest}`
  }
  return digestOf(Buffer.from(words, 'latin1'))
}

/**
 * One model goes to every site, and what a signature covers is what a header names: a frame is hashed once. No frame is changed
 * once it is made.
 */
const digests = new WeakMap<Uint8Array, Buffer>()
const REMEMBERED_BYTES = 4096

/** The large frame that a coordinator sent last to any site of this process. */
let lastSent: WeakRef<Uint8Array> | undefined

/** The sites of one process are sent the same model: what has the same bytes has the same hash, and comparing takes no time. */
function recognise(frame: Uint8Array): void {
  const last = lastSent?.deref()
  const known = last && digests.get(last)
  if (known && Buffer.compare(last, frame) === 0) digests.set(frame, known)
  else lastSent = new WeakRef(frame)
}

/** SHA-256 of a frame. */
export function frameDigest(frame: Uint8Array): Buffer {
  const known = digests.get(frame)
  if (known) return known
  const digest = digestOf(frame)
  if (frame.length >= REMEMBERED_BYTES) digests.set(frame, digest)
  return digest
}

/** Header and bodies without a signature: HELLO and WHO, and what is signed next. */
export function encodeUnsigned(header: Header, bodies: readonly Uint8Array[] = []): Uint8Array[] {
  return [encodeHeader(header), ...bodies, NO_BYTES]
}

/** Whose word a message is, and in which login. */
export interface Author {
  identity: Identity
  sender: Sender
  session: Uint8Array
  /** Of the login, once both ends have signed what it follows from. */
  key?: Uint8Array | undefined
}

/** `[header][body...][signature]`, or where the author has a login's key `[header][body...][code]`. */
export function encodeSigned(
  { identity, sender, session, key }: Author,
  header: Header,
  bodies: readonly Uint8Array[] = [],
): Uint8Array[] {
  const frames = [encodeHeader(header), ...bodies]
  const digest = signedDigest(sender, session, frames)
  return [...frames, key ? codeOf(key, digest) : identity.sign(digest)]
}

/** The hash that most messages carry goes over the line in two thirds of the letters. */
function shortened<T extends { base: string }>(work: T): T {
  return {
    ...work,
    base: /^[0-9a-f]{64}$/.test(work.base) ? Buffer.from(work.base, 'hex').toString('base64url') : work.base,
  }
}

/** What somebody sent where a word or a number is due, for a message to a person: an object may have no words. */
export function nameOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : typeof value
}

/** A reason that names what somebody sent still fits a header: as JSON, a control character or half of a pair takes six bytes. */
function plain(words: string): string {
  return String(words)
    .slice(0, MAX_WORDS)
    .replace(/[\p{Cc}\p{Cs}]/gu, ' ')
}

function encodeHeader(header: Header): Buffer {
  let short: object = header
  if ('base' in header) short = shortened(header)
  else if ('working' in header && header.working) short = { ...header, working: shortened(header.working) }
  if ('reason' in header && header.reason !== undefined) short = { ...short, reason: plain(header.reason) }
  if ('message' in header) short = { ...short, message: plain(header.message) }
  const bytes = Buffer.from(JSON.stringify(short))
  if (bytes.length > MAX_HEADER_BYTES) throw new RangeError(`a ${header.type} header of ${bytes.length} bytes`)
  return bytes
}

/** The header that was parsed last: whoever looks at a message's type reads the rest of it next. */
let lastHeader: { frame: Uint8Array; value: Record<string, unknown> } | undefined

/** What a message says that it is, read from frames of bounded size and believed by nobody. */
export function peekType(frames: readonly Uint8Array[]): { type: MessageType | undefined; version: unknown } {
  const value = parseHeader(frames)
  const type = value.type
  return {
    type: typeof type === 'string' && Object.hasOwn(HEADERS, type) ? (type as MessageType) : undefined,
    version: value.v,
  }
}

/**
 * Reads a message that carries no signature, or whose signer is not known yet: its header may hold nothing but what the
 * schema names.
 * @throws ProtocolError
 */
export function decodeUnsigned<T extends MessageType>(frames: readonly Uint8Array[], type: T): Message<T> {
  return decode(frames, [type], true, undefined)
}

/**
 * Reads a signed message of one of the types: first the signature, then the rest. Header keys that the schema does not
 * name are left out.
 * @param layout fixes the length of a model's body; a message with one is refused without it
 * @throws ProtocolError
 */
export function decodeSigned<T extends MessageType>(
  frames: readonly Uint8Array[],
  types: readonly T[],
  signer: Signer,
  layout?: ModelLayout,
): Message<T> {
  checkSignature(frames, signer)
  return decode(frames, types, false, layout)
}

/** Whose word a message must be, and in which login. */
export interface Signer {
  signingPublic: Uint8Array
  sender: Sender
  session: Uint8Array
  /** Of the login, once both ends have signed what it follows from: a code under it is as good as a signature, at a thirtieth of the time. */
  key?: Uint8Array | undefined
}

/** @throws ProtocolError when the message has neither the signer's signature nor a code under the login's key */
export function checkSignature(frames: readonly Uint8Array[], { signingPublic, sender, session, key }: Signer): void {
  checkShape(frames)
  if (sender === 'coordinator') for (const frame of frames) if (frame.length >= REMEMBERED_BYTES) recognise(frame)
  const digest = signedDigest(sender, session, frames.slice(0, -1))
  const sealed = frames.at(-1)!
  const isRight =
    sealed.length === CODE_BYTES
      ? key !== undefined && isCode(key, digest, sealed)
      : verifySignature(signingPublic, digest, sealed)
  if (!isRight) throw new ProtocolError('the signature is wrong')
}

function checkShape(frames: readonly Uint8Array[]): void {
  if (frames.length < 2 || frames.length > MAX_FRAMES) throw new ProtocolError(`${frames.length} frames`)
  if (frames[0]!.length > MAX_HEADER_BYTES) throw new ProtocolError(`a header of ${frames[0]!.length} bytes`)
  const signatureBytes = frames.at(-1)!.length
  if (![0, CODE_BYTES, SIGNATURE_BYTES].includes(signatureBytes))
    throw new ProtocolError(`a signature of ${signatureBytes} bytes, not ${SIGNATURE_BYTES}`)
}

function parseHeader(frames: readonly Uint8Array[]): Record<string, unknown> {
  checkShape(frames)
  const frame = frames[0]!
  if (lastHeader?.frame === frame) return lastHeader.value
  let value: unknown
  try {
    value = JSON.parse(utf8.decode(frame))
  } catch {
    throw new ProtocolError('the header is not JSON')
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new ProtocolError('the header is not an object')
  lastHeader = { frame, value: value as Record<string, unknown> }
  return lastHeader.value
}

function decode<T extends MessageType>(
  frames: readonly Uint8Array[],
  types: readonly T[],
  strict: boolean,
  layout: ModelLayout | undefined,
): Message<T> {
  const value = parseHeader(frames)
  const type = types.find((item) => item === value.type)
  if (type === undefined)
    throw new ProtocolError(`a message of type ${nameOf(value.type).slice(0, 32)} is not due here`)
  const schema: z.ZodType = strict ? HEADERS[type].strict() : HEADERS[type]
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw new ProtocolError(`the header of ${type}: ${z.prettifyError(parsed.error).slice(0, 300)}`)
  const header = parsed.data as Header<T>
  const bodies = frames.slice(1, -1)
  const hasVector = 'vectorSha256' in header && header.vectorSha256 !== undefined
  const kinds = BODIES[type].filter((kind) => kind !== 'vector' || hasVector)
  if (bodies.length !== kinds.length)
    throw new ProtocolError(`${type} with ${bodies.length} bodies, not ${kinds.length}`)
  kinds.forEach((kind, index) => {
    const length = bodies[index]!.length
    if (kind === 'vector') {
      if (length !== (layout?.parameterCount ?? 0) * 4) throw new ProtocolError(`a vector of ${length} bytes`)
      return
    }
    const most = kind === 'text' ? MAX_TEXT_BYTES : type === 'JOIN' ? MAX_DESCRIPTION_BYTES : MAX_JSON_BYTES
    if (kind !== 'model') {
      if (length > most) throw new ProtocolError(`a body of ${length} bytes, more than ${most}`)
      return
    }
    const expected = layout && modelBytes(layout)
    // An evaluation has no update; a task may leave out a model that the site was sent before.
    const mayBeEmpty = header.type === 'TASK' || header.type === 'RESULT'
    const mustBeEmpty = header.type === 'RESULT' && header.purpose === 'evaluate'
    const isRight = length === 0 ? mayBeEmpty : length === expected && !mustBeEmpty
    if (!isRight) throw new ProtocolError(`a body of ${length} bytes, the model has ${expected ?? 'no layout'}`)
  })
  return { header, bodies }
}

/** Bytes of a model's body: parameters, then statistics, float32. */
export function modelBytes(layout: ModelLayout): number {
  return (layout.parameterCount + layout.statisticCount) * 4
}

/** Bodies of models that were read from them, or made with them: neither is changed after that. */
const bodies = new WeakMap<ModelState, Uint8Array>()

/** A model as one body: parameters, then statistics, little-endian float32. */
export function encodeModelBody(model: ModelState): Uint8Array {
  const known = bodies.get(model)
  if (known) return known
  const body = new Float32Array(model.parameters.length + model.statistics.length)
  body.set(model.parameters)
  body.set(model.statistics, model.parameters.length)
  return bytesOf(body)
}

/** A model whose floats are those of its body. */
function modelOfBody(layout: ModelLayout, body: Uint8Array, floats: Float32Array): ModelState {
  const model = {
    parameters: floats.subarray(0, layout.parameterCount),
    statistics: floats.subarray(layout.parameterCount),
  }
  bodies.set(model, body)
  return model
}

/** A copy of a model in `place`, which has its body's length and lies at a multiple of 4; its hash is known where the model's was. */
export function copyModel(layout: ModelLayout, model: ModelState, place: Uint8Array): ModelState {
  const body = encodeModelBody(model)
  place.set(body)
  const known = digests.get(body)
  if (known) digests.set(place, known)
  return modelOfBody(layout, place, floatView(place))
}

/** A model of its own, whatever becomes of the one that it was, and its hash. */
export function keepModel(layout: ModelLayout, model: ModelState): { model: ModelState; sha256: string } {
  const body = encodeModelBody({ ...model })
  return { model: modelOfBody(layout, body, floatView(body)), sha256: frameDigest(body).toString('hex') }
}

/**
 * Reads a model's body; its floats may be those of the frame, which nobody changes.
 * @param expected its hash, where that is known
 * @throws ProtocolError when it is something else, of another length, or holds a NaN or an infinity
 */
export function decodeModelBody(
  layout: ModelLayout,
  body: Uint8Array,
  { expectedSha256 }: { expectedSha256?: string } = {},
): ModelState {
  if (body.length !== modelBytes(layout))
    throw new ProtocolError(`a body of ${body.length} bytes, the model has ${modelBytes(layout)}`)
  const floats = floatView(body)
  checkFloats(floats)
  const found = frameDigest(body).toString('hex')
  if (expectedSha256 !== undefined && found !== expectedSha256)
    throw new ProtocolError(`the body's hash is ${found}, the header says ${expectedSha256}`)
  return modelOfBody(layout, body, floats)
}

/** @throws ProtocolError */
function checkFloats(values: Float32Array, most?: number, of = ''): void {
  const at = findUnusable(values, most)
  if (at < 0) return
  const value = values[at]!
  const what = Number.isFinite(value) ? `its size is above ${most?.toPrecision(3)}` : 'not a finite number'
  throw new ProtocolError(`float ${at}${of} is ${value}, ${what}`)
}

/** A vector of one float a parameter as a body, and its hash. */
export function encodeVectorBody(vector: Float32Array): { body: Uint8Array; vectorSha256: string } {
  const body = bytesOf(vector)
  return { body, vectorSha256: sha256(body) }
}

/**
 * Reads a vector's body.
 * @param most the largest number that it may hold, where there is one
 * @throws ProtocolError when it is something else than the header says, or holds a NaN, an infinity or a larger number
 */
export function decodeVectorBody(body: Uint8Array, expectedSha256: string, most?: number): Float32Array {
  const found = sha256(body)
  if (found !== expectedSha256)
    throw new ProtocolError(`the vector’s hash is ${found}, the header says ${expectedSha256}`)
  const vector = floatsOf(body)
  checkFloats(vector, most, ' of the vector')
  return vector
}

/**
 * Reads a JSON body.
 * @throws ProtocolError
 */
export function decodeJsonBody<S extends z.ZodType>(schema: S, body: Uint8Array): z.infer<S> {
  let value: unknown
  try {
    value = JSON.parse(utf8.decode(body))
  } catch {
    throw new ProtocolError('a body is not JSON')
  }
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw new ProtocolError(`a body: ${z.prettifyError(parsed.error).slice(0, 300)}`)
  return parsed.data
}

/** A value as a JSON body. */
export function encodeJsonBody(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}
