import { constants as bufferLimits } from 'node:buffer'
import { promisify } from 'node:util'
import { constants, gunzip, gunzipSync } from 'node:zlib'
import { MeshflError } from '@meshfl/core'
import { dataBytes, MAX_HEADER_BYTES, parseHeader } from './header.js'
import { notRecognized, tooLarge, truncated } from './read-errors.js'

/** deflate cannot do better than 1032 to 1 (https://zlib.net/zlib_tech.html). */
const MAX_RATIO = 1032
/** What a file may hold after its voxels: MGH's tags, padding. */
const MAX_TRAILER_BYTES = 16 * 2 ** 20
/** zlib is told the room that there is in 32 bits, also where a version of Node has larger buffers. */
const MAX_BYTES = Math.min(bufferLimits.MAX_LENGTH, 2 ** 32 - 1)

const gunzipAsync = promisify(gunzip)

export function isGzip(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b
}

/** The first bytes of what a gzip stream holds, enough for any header, from the beginning of the stream; fewer where it holds fewer. */
export function inflateHeader(bytes: Uint8Array, name: string): Uint8Array {
  let part: Uint8Array = new Uint8Array(0)
  for (const take of [4096, 1 << 17]) {
    try {
      part = gunzipSync(bytes.subarray(0, take), { finishFlush: constants.Z_SYNC_FLUSH })
    } catch (error) {
      throw explain(error, name)
    }
    if (part.length >= MAX_HEADER_BYTES || take >= bytes.length) break
  }
  return part.subarray(0, MAX_HEADER_BYTES)
}

interface Plan {
  /** One chunk for the whole answer, so that zlib never has to join pieces. */
  chunkSize: number
  maxOutputLength: number
}

/** Learns from the header how much must come out, before anything of that size is asked for. */
function plan(bytes: Uint8Array, name: string): Plan {
  const header = parseHeader(inflateHeader(bytes, name), name)
  return planFor(bytes, name, header.separate ? MAX_HEADER_BYTES : header.dataOffset + dataBytes(header))
}

function planFor(bytes: Uint8Array, name: string, expected: number): Plan {
  if (expected + MAX_TRAILER_BYTES > MAX_BYTES) throw tooLarge(name, expected)
  if (expected > (bytes.length + 1) * MAX_RATIO) throw truncated(name, bytes.length, Math.ceil(expected / MAX_RATIO))
  return { chunkSize: Math.max(4096, expected + 1024), maxOutputLength: expected + MAX_TRAILER_BYTES }
}

/**
 * Inflates a volume: every gzip member, its CRC checked.
 * @param expected bytes that must come out; read from the volume's own header where it is not given
 * @throws MeshflError `VOLUME_TRUNCATED`, `VOLUME_BAD_CRC`, and what `parseHeader` throws
 */
export async function inflate(bytes: Uint8Array, name: string, expected?: number): Promise<Uint8Array> {
  const options = expected === undefined ? plan(bytes, name) : planFor(bytes, name, expected)
  try {
    return await gunzipAsync(bytes, options)
  } catch (error) {
    throw explain(error, name)
  }
}

/** As `inflate`, at once. */
export function inflateSync(bytes: Uint8Array, name: string, expected?: number): Uint8Array {
  const options = expected === undefined ? plan(bytes, name) : planFor(bytes, name, expected)
  try {
    return gunzipSync(bytes, options)
  } catch (error) {
    throw explain(error, name)
  }
}

function explain(error: unknown, name: string): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  const reason = error instanceof Error ? error.message : String(error)
  if (code === 'Z_BUF_ERROR') {
    return new MeshflError('VOLUME_TRUNCATED', `${name} ends too early: its gzip stream is not complete`, {
      hint: 'copy or download the file again; it was cut short',
      data: { name },
      cause: error,
    })
  }
  if (code === 'Z_DATA_ERROR' || code === 'Z_NEED_DICT') {
    return new MeshflError(
      'VOLUME_BAD_CRC',
      `${name} is damaged: its gzip stream does not pass its checks (${reason})`,
      {
        hint: 'copy or download the file again; some of its bytes have changed',
        data: { name, reason },
        cause: error,
      },
    )
  }
  if (code === 'ERR_BUFFER_TOO_LARGE') return notRecognized(name, 'it holds far more than its header says')
  return error
}
