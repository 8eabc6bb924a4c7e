import { MeshflError, someOf } from '@meshfl/core'
import { notFloats } from '../parts-of-state.js'
import { createGatherer, isCounter, type StateDict, type StateTensor } from '../state-dict.js'
import { openLegacyArchive, unsupported } from './legacy-archive.js'
import { type PickleMap, type PickleValue, readPickle } from './pickle.js'
import { TORCH_HOST, TorchTensor } from './torch-host.js'
import { openZip, type ZipArchive } from './zip.js'

/** What a file of ours says of itself, beside the pickle: a record that torch.load passes over. */
export const METADATA_RECORD = 'extra/meshfl.json'
/** How deep below the top a state dict may lie: `checkpoint['state_dict']`, and one more. An optimiser's tensors lie deeper. */
const DEPTH = 2

/**
 * Reads the state dict in a .pth file of torch.save: the top of the file, or a dictionary in it such as `{'state_dict': ...}`. Nothing in
 * the file is run.
 * @param source what to call the file in an error
 * @throws MeshflError `TORCH_MALFORMED`, `TORCH_GLOBAL_REFUSED`, `TORCH_UNSUPPORTED`, `IMPORT_NOT_MESHNET`, `IMPORT_TENSOR_MALFORMED`, `IMPORT_TOO_LARGE`
 */
export function decodeTorch(bytes: Uint8Array, source: string): StateDict {
  const isLegacy = bytes[0] === 0x80
  const { value, storage, metadata } = isLegacy
    ? { ...openLegacyArchive(bytes, TORCH_HOST, source), metadata: {} }
    : openArchive(bytes, source)
  return { tensors: readTensors(findStateDict(value, source), storage, source), inModuleOrder: true, metadata }
}

/** A zip archive, as torch 1.6 and newer write it. */
function openArchive(bytes: Uint8Array, source: string) {
  const archive = openZip(bytes, source)
  const folder = folderOf(archive, source)
  if (archive.names.includes(`${folder}byteorder`)) {
    const order = Buffer.from(archive.read(`${folder}byteorder`))
      .toString()
      .trim()
    if (order !== 'little') throw unsupported(source, `its numbers are ${JSON.stringify(order.slice(0, 20))}-endian`)
  }
  return {
    value: readPickle(archive.read(`${folder}data.pkl`), TORCH_HOST, source).value,
    storage: (key: string) => archive.read(`${folder}data/${key}`),
    metadata: readMetadata(archive, folder),
  }
}

/** All records of an archive lie in one folder, whose name is free. */
function folderOf({ names }: ZipArchive, source: string): string {
  const pickles = names.filter((name) => /^(?:[^/]+\/)?data\.pkl$/.test(name))
  if (pickles.length !== 1) throw unsupported(source, 'it is a zip archive without the one data.pkl of torch.save')
  return pickles[0]!.slice(0, -'data.pkl'.length)
}

/** The one dictionary that holds a 5-dimensional tensor. */
function findStateDict(value: PickleValue, source: string): PickleMap {
  const found = new Map<PickleMap, string>()
  // A pickle may hold one dictionary many times over.
  const seen = new Map<PickleMap, number>()
  const visit = (item: PickleValue, path: string, depth: number): void => {
    if (!(item instanceof Map) || (seen.get(item) ?? DEPTH + 1) <= depth) return
    seen.set(item, depth)
    if ([...item.values()].some((each) => each instanceof TorchTensor && each.shape.length === 5)) {
      found.set(item, path)
      return
    }
    if (depth === DEPTH) return
    for (const [key, each] of item) {
      // Cut before it is quoted: many entries may share one long key.
      if (each instanceof Map) visit(each, `${path}[${JSON.stringify(String(key).slice(0, 40))}]`, depth + 1)
    }
  }
  visit(value, '', 0)
  const [only, ...others] = found.keys()
  if (only !== undefined && others.length === 0) return only
  const hint = 'save the state dict alone: torch.save(model.state_dict(), path)'
  const what =
    only === undefined
      ? 'has no dictionary with the weights of 3D convolutions'
      : `has several dictionaries with weights: ${someOf([...found.values()])}`
  throw new MeshflError('TORCH_UNSUPPORTED', `${source} ${what}`, { hint })
}

function readTensors(dict: PickleMap, record: (key: string) => Uint8Array, source: string): StateTensor[] {
  const gather = createGatherer(source)
  const storages = new Map<string, Uint8Array>()
  const tensors: StateTensor[] = []
  for (const [key, value] of dict) {
    const name = String(key)
    if (!(value instanceof TorchTensor) || isCounter(name)) continue
    const { storage, shape, strides, offset } = value
    const { type } = storage
    if (type === undefined) throw notFloats(source, name, 'whole numbers')
    const bytes = storages.get(storage.key) ?? record(storage.key)
    storages.set(storage.key, bytes)
    tensors.push({ name, shape, values: gather({ name, shape, strides, offset, type, bytes }) })
  }
  return tensors
}

function readMetadata(archive: ZipArchive, folder: string): Record<string, string> {
  const name = `${folder}${METADATA_RECORD}`
  if (!archive.names.includes(name)) return {}
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(archive.read(name)).toString('utf8'))
  } catch (error) {
    if (error instanceof MeshflError) throw error
    return {} // another tool's record of this name
  }
  if (value === null || typeof value !== 'object') return {}
  return Object.fromEntries(Object.entries(value).filter(([, text]) => typeof text === 'string'))
}
