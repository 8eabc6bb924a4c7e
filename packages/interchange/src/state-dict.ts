import { elementCount, MeshflError } from '@meshfl/core'
import { FLOAT_BYTES, type FloatType, floatReader } from './float-types.js'

/** One floating-point tensor of a state dict, C order. */
export interface StateTensor {
  /** The key: the path of its module, and `weight`, `bias`, `running_mean` or `running_var`. */
  name: string
  shape: readonly number[]
  values: Float32Array
}

/** The tensors of a PyTorch state dict, all of them floating-point; BatchNorm's counters `num_batches_tracked` are left out. */
export interface StateDict {
  tensors: StateTensor[]
  /** Whether the tensors stand in the order of the modules; safetensors files may be sorted by name. */
  inModuleOrder: boolean
  /** What a file of ours says of its network and its data. */
  metadata: Record<string, string>
}

/** More than the largest spec has, of 64 blocks of 64 channels: what all tensors of a file may have together. */
const MOST_NUMBERS = 1 << 24
const MOST_AXES = 8

/** Where a tensor's numbers lie in a storage: strides and offset count numbers; without them they lie one after the other. */
interface StoredTensor {
  name: string
  shape: readonly number[]
  type: FloatType
  /** Of the storage. */
  bytes: Uint8Array
  strides?: readonly number[]
  offset?: number
}

/**
 * Gives a function that reads the tensors of one file, in C order. Tensors may share their bytes, and a stride may be 0, so that it counts
 * what it has allocated.
 * @param source what to call the file in an error
 * @throws MeshflError `IMPORT_TENSOR_MALFORMED`, `IMPORT_TOO_LARGE`
 */
export function createGatherer(source: string): (stored: StoredTensor) => Float32Array {
  let left = MOST_NUMBERS
  return ({ name, shape, type, bytes, strides, offset = 0 }) => {
    if (shape.length > MOST_AXES) throw malformed(source, name, `has ${shape.length} axes`)
    const steps = strides ?? stridesOf(shape)
    if (shape.length !== steps.length || ![...shape, ...steps, offset].every(isCount))
      throw malformed(source, name, 'has a shape that cannot be')
    const count = elementCount(shape)
    left -= count
    if (left < 0) {
      throw new MeshflError(
        'IMPORT_TOO_LARGE',
        `${source} has more numbers than a MeshNet can, up to ${name.slice(0, 200)}`,
        {
          hint: 'name a file with the state dict of a MeshNet',
          data: { shape },
        },
      )
    }
    const last = shape.reduce((sum, n, axis) => sum + (n - 1) * steps[axis]!, offset)
    if (count > 0 && last >= Math.floor(bytes.byteLength / FLOAT_BYTES[type]))
      throw malformed(source, name, 'lies outside its storage')
    return gather(shape, steps, offset, floatReader(type, bytes))
  }
}

/** Whether a tensor is the counter of a BatchNorm, which says nothing of the network. */
export const isCounter = (name: string): boolean => /(?:^|\.)num_batches_tracked$/.test(name)

/** Of numbers that lie one after the other in C order. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1)
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!
  return strides
}

const isCount = (n: number): boolean => Number.isSafeInteger(n) && n >= 0

function gather(
  shape: readonly number[],
  strides: readonly number[],
  offset: number,
  read: (index: number) => number,
): Float32Array {
  const values = new Float32Array(elementCount(shape))
  const index = new Array<number>(shape.length).fill(0)
  let at = offset
  for (let i = 0; i < values.length; i++) {
    values[i] = read(at)
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis]!
      if (++index[axis]! < shape[axis]!) break
      at -= strides[axis]! * shape[axis]!
      index[axis] = 0
    }
  }
  return values
}

function malformed(source: string, name: string, what: string): MeshflError {
  return new MeshflError('IMPORT_TENSOR_MALFORMED', `the tensor ${name.slice(0, 200)} of ${source} ${what}`, {
    hint: 'check that the file was copied whole',
  })
}
