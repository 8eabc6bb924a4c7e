/** A frame of at least this travels by itself, uncopied: one model goes to many sites. */
const LARGE_BYTES = 1024
/** Marks in the table of lengths: two bytes of length follow; the frame is the next part. */
const TWO_BYTES = 254
const OWN_PART = 255
const MOST_FRAMES = 255

/**
 * A message as the parts that ZeroMQ carries. Each part costs 35 bytes or more of encryption and framing, and most of a message's
 * frames are small, so these share the first part: the number of frames, a length for each (one byte; or 254 and two bytes,
 * little-endian; or 255 for a frame that is a part of its own), then the frames without one, one after the other.
 */
export function packFrames(frames: readonly Uint8Array[]): Uint8Array[] {
  const first = Buffer.allocUnsafe(firstPartBytes(frames))
  const parts: Uint8Array[] = [first]
  let at = first.writeUInt8(frames.length)
  for (const frame of frames) {
    if (frame.length >= LARGE_BYTES) {
      at = first.writeUInt8(OWN_PART, at)
      parts.push(frame)
    } else if (frame.length >= TWO_BYTES) {
      at = first.writeUInt8(TWO_BYTES, at)
      at = first.writeUInt16LE(frame.length, at)
    } else at = first.writeUInt8(frame.length, at)
  }
  for (const frame of frames) {
    if (frame.length >= LARGE_BYTES) continue
    first.set(frame, at)
    at += frame.length
  }
  return parts
}

/** The frames of a message; none where the parts are no message. */
export function unpackFrames(parts: readonly Uint8Array[]): Uint8Array[] {
  const first = parts[0]
  if (!first || first.length === 0) return []
  const lengths: number[] = []
  let at = 1
  for (let i = 0; i < first[0]!; i++) {
    const short = first[at++]
    if (short === undefined) return []
    if (short !== TWO_BYTES) lengths.push(short === OWN_PART ? -1 : short)
    else {
      if (at + 2 > first.length) return []
      lengths.push(first[at]! | (first[at + 1]! << 8))
      at += 2
    }
  }
  const frames: Uint8Array[] = []
  let part = 1
  for (const length of lengths) {
    if (length < 0) {
      const own = parts[part++]
      if (!own) return []
      frames.push(own)
    } else {
      if (at + length > first.length) return []
      frames.push(first.subarray(at, at + length))
      at += length
    }
  }
  return at === first.length && part === parts.length ? frames : []
}

/** The sum of what each part is counted as, of the parts that frames are packed into. */
export function sumOverParts(frames: readonly Uint8Array[], count: (partBytes: number) => number): number {
  let sum = count(firstPartBytes(frames))
  for (const { length } of frames) if (length >= LARGE_BYTES) sum += count(length)
  return sum
}

function firstPartBytes(frames: readonly Uint8Array[]): number {
  if (frames.length > MOST_FRAMES) throw new RangeError(`a message of ${frames.length} frames`)
  let bytes = 1
  for (const { length } of frames) bytes += length >= LARGE_BYTES ? 1 : length >= TWO_BYTES ? 3 + length : 1 + length
  return bytes
}
