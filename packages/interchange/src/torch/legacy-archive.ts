import { MeshflError } from '@meshfl/core'
import { FLOAT_BYTES } from '../float-types.js'
import { type PickleHost, type PickleValue, readPickle } from './pickle.js'
import { TorchStorage } from './torch-host.js'

/** A file of torch before 1.6, or of `_use_new_zipfile_serialization=False`. */
interface LegacyArchive {
  value: PickleValue
  /** @throws MeshflError `TORCH_MALFORMED` */
  storage(key: string): Uint8Array
}

/** PyTorch's, as near as a float64 comes to it: 0x1950a86a20f9469cfc6c. */
const MAGIC = Number(0x1950a86a20f9469cfc6cn)
const PROTOCOL = 1001
const LONG_BYTES = 8

/**
 * Reads the pickles of a file of torch before 1.6: a magic number, a version, the sizes of the machine, the value, the keys of its storages;
 * behind them each storage: its count as eight bytes, and its numbers.
 * Source: `_legacy_save` in https://github.com/pytorch/pytorch/blob/main/torch/serialization.py.
 * @throws MeshflError `TORCH_MALFORMED`, `TORCH_GLOBAL_REFUSED`, `TORCH_UNSUPPORTED`
 */
export function openLegacyArchive(bytes: Uint8Array, host: PickleHost, source: string): LegacyArchive {
  const malformed = (what: string): MeshflError =>
    new MeshflError('TORCH_MALFORMED', `${source} cannot be read: ${what}`, {
      hint: 'check that the file was copied whole, or save it again with torch 1.6 or newer',
    })
  let at = 0
  const read = (hostOfIt = host): PickleValue => {
    const { value, end } = readPickle(bytes.subarray(at), hostOfIt, source)
    at += end
    return value
  }
  if (read() !== MAGIC || read() !== PROTOCOL) throw malformed('it is a pickle, but not of torch.save')
  const machine = read()
  if (machine instanceof Map && machine.get('little_endian') === false) {
    throw unsupported(source, 'its numbers are big-endian')
  }
  const types = new Map<string, TorchStorage>()
  const value = read({
    ...host,
    persistent(id) {
      const storage = host.persistent(id)
      // ('storage', type, key, location, count, view): null, or (key, offset, count) of a part of that storage.
      const view = Array.isArray(id) ? id[5] : undefined
      if (Array.isArray(view) && view[1] !== 0) throw unsupported(source, 'a storage of it is a part of another one')
      if (storage instanceof TorchStorage) types.set(storage.key, storage)
      return storage
    },
  })
  const keys = read()
  if (!Array.isArray(keys)) throw malformed('it has no list of storages')
  const storages = new Map<string, Uint8Array>()
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (const key of keys) {
    const type = typeof key === 'string' ? types.get(key) : undefined
    if (type === undefined) throw malformed('it has a storage that its value does not name')
    if (at + 8 > bytes.byteLength) throw malformed('its storages end too early')
    const count = Number(view.getBigUint64(at, true))
    const begin = at + 8
    at = begin + count * (type.type === undefined ? LONG_BYTES : FLOAT_BYTES[type.type])
    if (at > bytes.byteLength) throw malformed('its storages end too early')
    storages.set(type.key, bytes.subarray(begin, at))
  }
  return {
    value,
    storage(key) {
      const found = storages.get(key)
      if (!found) throw malformed('a storage of it is missing')
      return found
    },
  }
}

/** The error for a file of torch.save that is whole, and not read here. */
export function unsupported(source: string, what: string): MeshflError {
  return new MeshflError('TORCH_UNSUPPORTED', `${source} cannot be imported: ${what}`, {
    hint: 'save the state dict again with torch 1.6 or newer, on a little-endian machine',
  })
}
