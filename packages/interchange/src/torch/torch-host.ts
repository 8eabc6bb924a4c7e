import type { FloatType } from '../float-types.js'
import type { PickleHost, PickleValue } from './pickle.js'
import { PickleGlobal } from './pickle.js'

/** A storage that a pickle refers to: `count` numbers in the file's record `key`. */
export class TorchStorage {
  constructor(
    readonly key: string,
    /** Undefined for whole numbers, which no weight is, and the counter of a BatchNorm is. */
    readonly type: FloatType | undefined,
    readonly count: number,
  ) {}
}

/** A tensor that a pickle describes; its numbers have not been read. */
export class TorchTensor {
  constructor(
    readonly storage: TorchStorage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

const STORAGES: Record<string, FloatType | undefined> = {
  'torch.FloatStorage': 'F32',
  'torch.DoubleStorage': 'F64',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.LongStorage': undefined,
}
const ORDERED_DICT = 'collections.OrderedDict'
const REBUILD_TENSOR = 'torch._utils._rebuild_tensor_v2'
const REBUILD_PARAMETER = 'torch._utils._rebuild_parameter'
const CALLS = new Set([ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER])

/** The names that a state dict of torch.save needs, and no other. */
export const TORCH_HOST: PickleHost = {
  allows: (name) => CALLS.has(name) || Object.hasOwn(STORAGES, name),
  call(name, args) {
    switch (name) {
      case ORDERED_DICT:
        return args.length === 0 ? new Map() : undefined // its entries follow
      case REBUILD_TENSOR:
        return rebuildTensor(args)
      case REBUILD_PARAMETER:
        return args[0] instanceof TorchTensor ? args[0] : undefined
      default:
        return undefined
    }
  },
  persistent(id) {
    if (!Array.isArray(id)) return undefined
    const [kind, type, key, , count] = id
    if (kind !== 'storage' || !(type instanceof PickleGlobal) || !Object.hasOwn(STORAGES, type.name)) return undefined
    if (typeof key !== 'string' || typeof count !== 'number') return undefined
    return new TorchStorage(key, STORAGES[type.name], count)
  },
}

/** (storage, offset, shape, strides, requires_grad, hooks, ...) */
function rebuildTensor([storage, offset, shape, strides]: readonly PickleValue[]): TorchTensor | undefined {
  if (!(storage instanceof TorchStorage) || typeof offset !== 'number') return undefined
  return isNumbers(shape) && isNumbers(strides) ? new TorchTensor(storage, offset, shape, strides) : undefined
}

function isNumbers(value: PickleValue | undefined): value is number[] {
  // A long list could be asked for again and again.
  return Array.isArray(value) && value.length <= 8 && value.every((item) => typeof item === 'number')
}
