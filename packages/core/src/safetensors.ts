import { MeshflError } from './errors.js'

/** Those of the format whose elements are whole bytes. */
export type SafetensorsDtype = keyof typeof BYTES

export interface NamedTensor {
  name: string
  dtype: SafetensorsDtype
  shape: readonly number[]
  /** Little-endian, C order. */
  data: Uint8Array
}

export interface SafetensorsFile {
  tensors: NamedTensor[]
  metadata: Record<string, string>
}

const BYTES = {
  ...{ F32: 4, F64: 8, F16: 2, BF16: 2, F8_E4M3: 1, F8_E5M2: 1, F8_E8M0: 1, C64: 8 },
  ...{ I64: 8, I32: 4, I16: 2, I8: 1, U64: 8, U32: 4, U16: 2, U8: 1, BOOL: 1 },
} as const
const MAX_HEADER_BYTES = 100_000_000
/** Of a model file: one of the largest network has less than 100 KB. */
export const MOST_MODEL_HEADER_BYTES = 1 << 22

/** Writes the safetensors format (https://github.com/huggingface/safetensors): same input, same bytes. */
export function encodeSafetensors(file: SafetensorsFile): Uint8Array {
  const parts = safetensorsParts(file)
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** The same in parts, one after the other: header, then each tensor's own data. */
export function safetensorsParts(file: SafetensorsFile): Uint8Array[] {
  const header: Record<string, unknown> = {}
  if (Object.keys(file.metadata).length > 0) header.__metadata__ = file.metadata
  let offset = 0
  for (const tensor of file.tensors) {
    header[tensor.name] = {
      dtype: tensor.dtype,
      shape: tensor.shape,
      data_offsets: [offset, offset + tensor.data.byteLength],
    }
    offset += tensor.data.byteLength
  }
  const json = Buffer.from(JSON.stringify(header))
  const start = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ')
  start.writeBigUInt64LE(BigInt(start.length - 8))
  start.set(json, 8)
  return [start, ...file.tensors.map(({ data }) => data)]
}

/**
 * Reads a safetensors file. Every length is checked before it is used.
 * @param source what to call the file in an error
 * @param mostHeaderBytes how long its header may be: less of a file that somebody brings than of a run's own state
 * @throws MeshflError `SAFETENSORS_MALFORMED`
 */
export function decodeSafetensors(
  bytes: Uint8Array,
  source = 'safetensors file',
  mostHeaderBytes = MAX_HEADER_BYTES,
): SafetensorsFile {
  const malformed = (what: string, hint = 'check that the file was copied whole'): MeshflError =>
    new MeshflError('SAFETENSORS_MALFORMED', `${source} is no safetensors file that can be read: ${what}`, { hint })
  if (bytes.byteLength < 8) throw malformed('shorter than 8 bytes')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const headerBytes = Number(view.getBigUint64(0, true))
  if (8 + headerBytes > bytes.byteLength) throw malformed('the header is longer than the file')
  if (headerBytes > mostHeaderBytes)
    throw malformed(`the header has ${headerBytes} bytes, more than ${mostHeaderBytes}`, 'name the file of a MeshNet')
  let header: unknown
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, 8 + headerBytes)))
  } catch {
    throw malformed('the header is not JSON')
  }
  if (header === null || typeof header !== 'object' || Array.isArray(header))
    throw malformed('the header is not an object')
  const body = bytes.subarray(8 + headerBytes)
  const tensors: NamedTensor[] = []
  let metadata: Record<string, string> = {}
  for (const name of Object.keys(header)) {
    const value = (header as Record<string, unknown>)[name]
    if (name === '__metadata__') {
      if (
        value === null ||
        typeof value !== 'object' ||
        Object.values(value).some((item) => typeof item !== 'string')
      ) {
        throw malformed('__metadata__ is not a map of strings')
      }
      metadata = value as Record<string, string>
      continue
    }
    const entry = value as { dtype?: unknown; shape?: unknown; data_offsets?: unknown } | null
    const shown = name.slice(0, 200) // it may be as long as the header
    const dtype = entry?.dtype as SafetensorsDtype
    const size = typeof dtype === 'string' && Object.hasOwn(BYTES, dtype) ? BYTES[dtype] : undefined
    if (size === undefined) throw malformed(`tensor ${shown} has an unknown dtype`)
    const shape = entry?.shape
    const offsets = entry?.data_offsets
    const isCount = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) >= 0
    if (!Array.isArray(shape) || !shape.every(isCount)) throw malformed(`tensor ${shown} has no valid shape`)
    if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
      throw malformed(`tensor ${shown} has no valid offsets`)
    const [begin, end] = offsets as [number, number]
    const count = shape.reduce((product, n) => product * n, 1)
    if (end > body.byteLength || end - begin !== count * size) throw malformed(`tensor ${shown} does not fit its shape`)
    tensors.push({ name, dtype, shape, data: body.subarray(begin, end) })
  }
  return { tensors, metadata }
}
