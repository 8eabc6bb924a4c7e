import { bytesOf } from '@meshfl/core'
import { stridesOf } from '../state-dict.js'
import { METADATA_RECORD } from './decode-torch.js'
import { encodeZip } from './zip.js'

/** A tensor to write: floats, or whole numbers such as `num_batches_tracked`. */
export interface TorchTensorData {
  name: string
  shape: readonly number[]
  values: Float32Array | BigInt64Array
}

/** The name of the folder that all records lie in. torch.save takes the name of the file. */
const FOLDER = 'archive'

/**
 * A state dict as torch.save writes it, loadable by torch.load from torch 1.6 on, with `weights_only=True` too: an OrderedDict of
 * tensors, each with a storage of its own. Same input, same bytes.
 */
export function encodeTorch(tensors: readonly TorchTensorData[], metadata: Record<string, string>): Uint8Array {
  const record = (name: string, data: Uint8Array | string) => ({ name: `${FOLDER}/${name}`, data: Buffer.from(data) })
  return encodeZip([
    record('data.pkl', pickleOf(tensors)),
    record('byteorder', 'little'),
    ...tensors.map(({ values }, key) => record(`data/${key}`, bytesOf(values))),
    record(METADATA_RECORD, JSON.stringify(metadata)),
    record('version', '3\n'),
  ])
}

/** Operations of a pickle, in letters where they have any. */
type Part = string | Buffer

const MARK = '('
const TUPLE = 't'
const REDUCE = 'R'
const EMPTY_TUPLE = ')'
const FALSE = Buffer.from([0x89])

/** Protocol 2, nothing kept in the memo. */
function pickleOf(tensors: readonly TorchTensorData[]): Uint8Array {
  const orderedDict = [global('collections', 'OrderedDict'), EMPTY_TUPLE, REDUCE]
  const parts: Part[] = [Buffer.from([0x80, 2]), ...orderedDict, MARK]
  for (const [key, { name, shape, values }] of tensors.entries()) {
    const type = values instanceof Float32Array ? 'FloatStorage' : 'LongStorage'
    const storage = [MARK, text('storage'), global('torch', type), text(`${key}`), text('cpu'), whole(values.length)]
    parts.push(text(name), global('torch._utils', '_rebuild_tensor_v2'), MARK)
    parts.push(...storage, TUPLE, 'Q', whole(0), ...tuple(shape), ...tuple(stridesOf(shape)), FALSE, ...orderedDict)
    parts.push(TUPLE, REDUCE)
  }
  return Buffer.concat([...parts, 'u', '.'].map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
}

const global = (module: string, name: string): string => `c${module}\n${name}\n`

const tuple = (values: readonly number[]): Part[] => [MARK, ...values.map(whole), TUPLE]

/** BINUNICODE */
function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  const head = Buffer.alloc(5, 'X')
  head.writeUInt32LE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}

/** BININT */
function whole(value: number): Buffer {
  const bytes = Buffer.alloc(5, 'J')
  bytes.writeInt32LE(value, 1)
  return bytes
}
