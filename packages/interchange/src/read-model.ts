import { readFile, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { explainReadError, MeshflError, sha256 } from '@meshfl/core'
import type { NetworkParts } from './network-parts.js'
import { MOST_MODEL_BYTES } from './network-parts.js'
import { decodeOnnx } from './onnx/decode-onnx.js'
import { partsOfState } from './parts-of-state.js'
import { stateOfSafetensors } from './state-of-safetensors.js'
import { decodeTfjs, readTfjsModel } from './tfjs/decode-tfjs.js'
import { decodeTorch } from './torch/decode-torch.js'

export type ModelFormat = 'torch' | 'safetensors' | 'onnx' | 'brainchop'

/** The network of a file of another tool. */
export interface ReadModel {
  format: ModelFormat
  parts: NetworkParts
  /** What a file of ours says of its network, its data and its axes; else empty. */
  metadata: Record<string, string>
  /** Of the file. */
  sha256: string
}

/**
 * Reads the network of a file; what it holds, and not its name, tells the format.
 * @throws MeshflError `FILE_NOT_FOUND`, `FILE_NOT_READABLE`, `IMPORT_TOO_LARGE`, `IMPORT_FORMAT_UNKNOWN`, `IMPORT_NOT_MESHNET`, those of the formats
 */
export async function readModel(path: string): Promise<ReadModel> {
  const file = await modelFileAt(path)
  const bytes = await readWhole(file)
  if (formatOfModel(bytes) === 'brainchop') return readBrainchop(bytes, file)
  return { ...decodeModelOf(bytes, basename(file)), sha256: sha256(bytes) }
}

/** A brainchop model is a folder with a model.json. */
async function modelFileAt(path: string): Promise<string> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false, // reading it says what is wrong
  )
  return isFolder ? join(path, 'model.json') : path
}

async function readBrainchop(bytes: Uint8Array, file: string): Promise<ReadModel> {
  const source = basename(file)
  if (bytes.byteLength > MOST_JSON_BYTES) throw tooLarge(source, bytes.byteLength, MOST_JSON_BYTES)
  const tfjs = readTfjsModel(Buffer.from(bytes).toString('utf8'), source)
  const weights: Uint8Array[] = []
  let left = MOST_MODEL_BYTES
  for (const name of tfjs.weightFiles) {
    const part = await readWhole(join(dirname(file), name), left)
    weights.push(part)
    left -= part.byteLength
  }
  return {
    format: 'brainchop',
    ...decodeTfjs(tfjs, weights, source),
    sha256: sha256(Buffer.concat([bytes, ...weights])),
  }
}

/** Its header is JSON, behind its length: eight bytes, of which the last four are 0. */
const isSafetensors = (bytes: Uint8Array): boolean =>
  bytes[8] === 0x7b && bytes.subarray(4, 8).every((byte) => byte === 0)

const MOST_JSON_BYTES = 1 << 24
const isJson = (bytes: Uint8Array): boolean => /^\s*\{/.test(Buffer.from(bytes.subarray(0, 64)).toString('latin1'))

function tooLarge(path: string, size: number, most: number): MeshflError {
  return new MeshflError('IMPORT_TOO_LARGE', `${path} has ${size} bytes, more than ${most}`, {
    hint: 'save the state dict of the model alone',
  })
}

/** The same of bytes. */
export function decodeModelOf(bytes: Uint8Array, source: string): Omit<ReadModel, 'sha256'> {
  const format = formatOfModel(bytes)
  // The weights of brainchop lie in other files.
  if (format === undefined || format === 'brainchop') throw unknownFormat(source)
  if (format === 'onnx') return { format, ...decodeOnnx(bytes, source) }
  const state = format === 'torch' ? decodeTorch(bytes, source) : stateOfSafetensors(bytes, source)
  return { format, parts: partsOfState(state, source), metadata: state.metadata }
}

/** What a file may be, as its first bytes tell. */
export function formatOfModel(bytes: Uint8Array): ModelFormat | undefined {
  const starts = (...expected: number[]): boolean => expected.every((byte, i) => bytes[i] === byte)
  if (isSafetensors(bytes)) return 'safetensors'
  // Behind safetensors: the length that such a file begins with may look like a blank and a brace.
  if (isJson(bytes)) return 'brainchop'
  // A zip archive; or, before torch 1.6, a pickle.
  if (starts(0x50, 0x4b, 3, 4) || starts(0x80)) return 'torch'
  // The first field of a ModelProto: the version of the format, less than 128.
  if (bytes[0] === 8 && bytes[1]! < 128 && bytes.byteLength > 8) return 'onnx'
  return undefined
}

function unknownFormat(source: string): MeshflError {
  return new MeshflError('IMPORT_FORMAT_UNKNOWN', `${source} is of no format that can be imported`, {
    hint: 'name a .pth file of torch.save, a .safetensors file, an ONNX file or a brainchop model.json',
  })
}

async function readWhole(path: string, most = MOST_MODEL_BYTES): Promise<Uint8Array> {
  try {
    const found = await stat(path)
    const { size } = found
    // A device or a pipe may never end.
    if (!found.isFile()) {
      throw new MeshflError('FILE_NOT_READABLE', `${path} is no file`, {
        hint: 'give a file, or the folder of a model.json',
      })
    }
    if (size > most) throw tooLarge(path, size, most)
    return await readFile(path)
  } catch (error) {
    throw explainReadError(error, path)
  }
}
