import { elementCount, MeshflError } from '@meshfl/core'
import { type FloatType, floatReader } from './float-types.js'

/** One floating-point tensor of a state dict, C order. */
export interface StateTensor {
  /** The key: the path of its module, and `weight`, `bias`, `running_mean` or `running_var`. */
  name: string
  shape: readonly number[]
  values: Float32Array
}

/** The floating-point tensors of a PyTorch state dict; counters such as `num_batches_tracked` are left out. */
export interface StateDict {
  tensors: StateTensor[]
  /** Whether the tensors stand in the order of the modules; safetensors files may be sorted by name. */
  inModuleOrder: boolean
  /** What a file of ours says of its network and its data. */
  metadata: Record<string, string>
}

/** More than the largest spec has: 64 blocks of 64 channels. */
const MOST_NUMBERS = 1 << 24

/** Where a tensor's numbers lie in a storage: strides and offset count numbers. */
export interface StridedView {
  shape: readonly number[]
  strides: readonly number[]
  offset: number
}

/**
 * The numbers of a strided view, in C order.
 * @param stored how many numbers the storage has
 * @throws MeshflError `TORCH_MALFORMED`, `IMPORT_TOO_LARGE`
 */
export function gather(
  { shape, strides, offset }: StridedView,
  type: FloatType,
  bytes: Uint8Array,
  stored: number,
  name: string,
): Float32Array {
  const isCount = (n: number): boolean => Number.isSafeInteger(n) && n >= 0
  const malformed = (): MeshflError =>
    new MeshflError('TORCH_MALFORMED', `the tensor ${name} lies outside its storage`, {
      hint: 'check that the file was copied whole',
    })
  if (shape.length > 8 || shape.length !== strides.length || ![...shape, ...strides, offset].every(isCount))
    throw malformed()
  const count = elementCount(shape)
  if (count > MOST_NUMBERS) {
    throw new MeshflError('IMPORT_TOO_LARGE', `the tensor ${name} has ${count} numbers, more than a MeshNet can have`, {
      hint: 'name a file with the state dict of a MeshNet',
      data: { shape },
    })
  }
  const values = new Float32Array(count)
  if (count === 0) return values
  const last = shape.reduce((sum, n, axis) => sum + (n - 1) * strides[axis]!, offset)
  if (last >= stored) throw malformed()
  const read = floatReader(type, bytes)
  const index = new Array<number>(shape.length).fill(0)
  let at = offset
  for (let i = 0; i < count; i++) {
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
