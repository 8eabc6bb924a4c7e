import { createHash, randomBytes } from 'node:crypto'

/** Records of a batch begin at a multiple of this, so that writing one batch never touches a block of another. */
const BLOCK_BYTES = 4096
export const HEADER_BYTES = 64
const MAGIC = Buffer.from('meshfl-log/1\n\0\0\0')
const PREFIX_BYTES = 8
const DIGEST_BYTES = 32
/** Records begin at multiples of this, so that a prefix never crosses a block. */
const ALIGN_BYTES = 8

/** What a log keeps: bytes, and what kind of thing they are. */
export interface LogRecord {
  /** From 1 to 2^32 - 1. */
  kind: number
  bytes: Uint8Array
}

/** A record as it is added to a log: its bytes in parts, one after the other, which nobody changes until it is written. */
export interface NewRecord {
  kind: number
  parts: readonly Uint8Array[]
}

/**
 * A segment: `magic(16) generation(u64) snapshot(u32) 0(u32) salt(16) digest(16)`, then records `kind(u32) length(u32) bytes
 * digest(32)`, each padded to 8 bytes, integers little-endian, zeros up to the next block after each batch. A record's digest is SHA-256 over the digest
 * before it and all of its own: what a former use of the file left behind never follows.
 */
export function newChain(generation: bigint, snapshot: number): { header: Buffer; chain: Buffer } {
  const header = Buffer.alloc(HEADER_BYTES)
  MAGIC.copy(header)
  header.writeBigUInt64LE(generation, 16)
  header.writeUInt32LE(snapshot, 24)
  randomBytes(16).copy(header, 32)
  const digest = sha256(header.subarray(0, 48))
  digest.copy(header, 48, 0, 16)
  return { header, chain: digest }
}

/** Bytes of a batch of records that begins at `position`. */
export function batchBytes(records: readonly NewRecord[], position: number): number {
  const length = records.reduce((sum, { parts }) => sum + recordBytes(totalBytes(parts)), 0)
  return roundUp(position + length, BLOCK_BYTES) - position
}

/**
 * Writes a batch of records into `batch`, of `batchBytes`, as they lie in the file, with the zeros that fill the last block.
 * @returns the digest of the last one
 */
export function encodeRecords(records: readonly NewRecord[], chain: Buffer, batch: Buffer): Buffer {
  let at = 0
  for (const { kind, parts } of records) {
    const length = totalBytes(parts)
    const begin = at
    at = batch.writeUInt32LE(kind, at)
    at = batch.writeUInt32LE(length, at)
    for (const part of parts) {
      batch.set(part, at)
      at += part.length
    }
    chain = sha256(chain, batch.subarray(begin, at))
    chain.copy(batch, at)
    const end = begin + recordBytes(length)
    batch.fill(0, at + DIGEST_BYTES, end)
    at = end
  }
  batch.fill(0, at)
  return chain
}

export function totalBytes(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0)
}

/**
 * The records of a segment up to the first that is not whole; null where not even its snapshot is.
 * @returns `snapshot`: how many of them it began with
 */
export function readSegment(file: Uint8Array): { generation: bigint; records: LogRecord[]; snapshot: number } | null {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return null
  let chain = sha256(bytes.subarray(0, 48))
  if (!chain.subarray(0, 16).equals(bytes.subarray(48, HEADER_BYTES))) return null
  const records: LogRecord[] = []
  for (let at = HEADER_BYTES; at + PREFIX_BYTES + DIGEST_BYTES <= bytes.length; ) {
    const kind = bytes.readUInt32LE(at)
    if (kind === 0) {
      if (at % BLOCK_BYTES === 0) break
      at = roundUp(at, BLOCK_BYTES) // the rest of a batch's last block
      continue
    }
    const length = bytes.readUInt32LE(at + 4)
    const end = at + PREFIX_BYTES + length
    if (end + DIGEST_BYTES > bytes.length) break
    const digest = sha256(chain, bytes.subarray(at, end))
    if (!digest.equals(bytes.subarray(end, end + DIGEST_BYTES))) break
    records.push({ kind, bytes: bytes.subarray(at + PREFIX_BYTES, end) })
    chain = digest
    at += recordBytes(length)
  }
  const snapshot = bytes.readUInt32LE(24)
  return records.length < snapshot ? null : { generation: bytes.readBigUInt64LE(16), records, snapshot }
}

/** Bytes of a record of `length` bytes in a segment. */
function recordBytes(length: number): number {
  return roundUp(PREFIX_BYTES + length + DIGEST_BYTES, ALIGN_BYTES)
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple
}

function sha256(...parts: Uint8Array[]): Buffer {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}
