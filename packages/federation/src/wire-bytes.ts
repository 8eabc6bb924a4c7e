import { sumOverParts } from './message-parts.js'

/** What CurveZMQ puts around a frame: the command's name, a nonce, the authenticator, the frame's flags. */
const CURVE_BYTES = 8 + 8 + 16 + 1
/** ZMTP 3.1: flags and a length of one byte, or of eight. */
const SHORT_HEADER = 2
const LONG_HEADER = 9
const LONGEST_SHORT = 255

/** Bytes of a message in the TCP stream: https://rfc.zeromq.org/spec/23/ and /26/. What IP and TCP add is not in it. */
export function wireBytes(frames: readonly Uint8Array[]): number {
  return sumOverParts(frames, partOnWire)
}

function partOnWire(length: number): number {
  const body = length + CURVE_BYTES
  return body + (body > LONGEST_SHORT ? LONG_HEADER : SHORT_HEADER)
}

/** Bytes of a message that are models, scores, and descriptions: all but its header and signature. */
export function payloadBytes(frames: readonly Uint8Array[]): number {
  let sum = 0
  for (let i = 1; i < frames.length - 1; i++) sum += frames[i]!.length
  return sum
}
