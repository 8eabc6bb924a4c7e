import { MeshflError } from '@meshfl/core'
import type { BlockParts, NetworkParts } from './network-parts.js'
import { printable } from './printable.js'
import type { StateDict, StateTensor } from './state-dict.js'

/** Modules in modules. */
const DEEPEST = 32
const LONGEST_NAME = 1000

/** The tensors of one module, by the last word of their names. */
interface Module {
  path: string
  tensors: Map<string, StateTensor>
}

/**
 * Finds the MeshNet in a state dict by the order and the shapes of its tensors: 3x3x3 convolutions, each with or without a BatchNorm
 * behind it, then a 1x1x1 convolution. The names of modules are free, so prefixes such as `module.` make no difference.
 * @throws MeshflError `IMPORT_NOT_MESHNET` when the tensors are not those of a MeshNet, or their order cannot be known
 */
export function partsOfState(state: StateDict, source: string): NetworkParts {
  const refuse = (what: string): MeshflError => notMeshNet(source, what)
  const modules = modulesInOrder(state, refuse)
  const blocks: (BlockParts & { path: string })[] = []
  let head: NetworkParts['head'] | undefined
  let channels = 0
  let classes = 0
  for (const { path, tensors } of modules) {
    if (head !== undefined) throw refuse(`${path} comes after the 1x1x1 convolution that a MeshNet ends with`)
    const weight = tensors.get('weight')
    if (weight?.shape.length !== 5) {
      const block = blocks.at(-1)
      if (!block || block.normalization) throw refuse(`${path} is no convolution, and no BatchNorm of one`)
      block.normalization = batchNormOf(path, tensors, channels, refuse)
      continue
    }
    const [outputs, inputs, ...kernel] = weight.shape as [number, number, ...number[]]
    const bias = tensors.get('bias')
    const others = [...tensors.keys()].filter((key) => key !== 'weight' && key !== 'bias')
    if (others.length > 0) throw refuse(`${path} has a tensor ${others[0]}, which no convolution has`)
    if (bias && bias.shape.join() !== `${outputs}`) throw refuse(`${path}.bias is [${bias.shape}], not [${outputs}]`)
    if (inputs !== (channels || 1))
      throw refuse(`${path}.weight takes ${inputs} channels, and ${channels || 1} come in`)
    if (kernel.join() === '1,1,1' && blocks.length > 0) {
      classes = outputs
      head = { weight: weight.values, bias: bias?.values ?? new Float32Array(outputs) }
    } else if (kernel.join() === '3,3,3') {
      if (channels !== 0 && outputs !== channels)
        throw refuse(`${path}.weight gives ${outputs} channels, not ${channels}`)
      channels = outputs
      blocks.push({ path, weight: weight.values, ...(bias ? { bias: bias.values } : {}) })
    } else throw refuse(`${path}.weight is a kernel of ${kernel.join('x')}`)
  }
  if (head === undefined) throw refuse('there is no 1x1x1 convolution at its end')
  const normalized = blocks.filter(({ normalization }) => normalization).length
  if (normalized !== 0 && normalized !== blocks.length)
    throw refuse(`${normalized} of its ${blocks.length} convolutions have a BatchNorm`)
  const biased = blocks.filter(({ bias }) => bias).length
  if (biased !== 0 && biased !== blocks.length)
    throw refuse(`${biased} of its ${blocks.length} convolutions have a bias`)
  return {
    channels,
    classes,
    blocks: blocks.map(({ path: _, ...block }) => block),
    head,
    ...(normalized > 0 ? { normalization: 'batch' as const } : {}),
  }
}

/** The error for a network that is no MeshNet. */
export function notMeshNet(source: string, what: string): MeshflError {
  return new MeshflError('IMPORT_NOT_MESHNET', `${source} is no MeshNet that can be imported: ${what}`, {
    hint: 'name a file of 3x3x3 convolutions of equal channels, each with or without BatchNorm, and a 1x1x1 convolution at the end',
  })
}

/** The error for a tensor of whole or of 8-bit numbers: without it the network would be another one. */
export function notFloats(source: string, name: string, type: string): MeshflError {
  return notMeshNet(source, `its tensor ${printable(name)} is of ${type}, and is no counter of a BatchNorm`)
}

function batchNormOf(
  path: string,
  tensors: Map<string, StateTensor>,
  channels: number,
  refuse: (what: string) => MeshflError,
): NonNullable<BlockParts['normalization']> {
  const known = ['weight', 'bias', 'running_mean', 'running_var']
  const stranger = [...tensors.keys()].find((key) => !known.includes(key))
  if (stranger !== undefined) throw refuse(`${path} has a tensor ${stranger}, which no BatchNorm has`)
  const read = (key: string, absent?: number): Float32Array => {
    const tensor = tensors.get(key)
    // Without `affine` a BatchNorm has no weight and no bias.
    if (!tensor && absent !== undefined) return new Float32Array(channels).fill(absent)
    if (tensor?.shape.join() !== `${channels}`)
      throw refuse(tensor ? `${path}.${key} is [${tensor.shape}], not [${channels}]` : `${path} has no ${key}`)
    return tensor.values
  }
  return { weight: read('weight', 1), bias: read('bias', 0), mean: read('running_mean'), variance: read('running_var') }
}

/** Modules in the order in which they are run. */
function modulesInOrder(state: StateDict, refuse: (what: string) => MeshflError): Module[] {
  const modules = new Map<string, Module>()
  for (const tensor of state.tensors) {
    if (tensor.name.length > LONGEST_NAME) throw refuse(`a tensor of it has a name of ${tensor.name.length} letters`)
    const dot = tensor.name.lastIndexOf('.')
    const path = tensor.name.slice(0, Math.max(0, dot))
    const module = modules.get(path) ?? { path, tensors: new Map() }
    const part = tensor.name.slice(dot + 1)
    if (module.tensors.has(part)) throw refuse(`it has two tensors of the name ${tensor.name}`)
    module.tensors.set(part, tensor)
    modules.set(path, module)
  }
  const found = [...modules.values()]
  if (found.some(({ path }) => path.split('.').length > DEEPEST)) throw refuse('its modules lie too deep in each other')
  if (isNumbered(found.map(({ path }) => path.split('.')))) return found.sort((a, b) => comparePaths(a.path, b.path))
  if (!state.inModuleOrder)
    throw refuse('the names of its modules do not tell their order, and the file does not keep it')
  return found
}

/** Whether the paths differ in numbers alone, as those of nn.Sequential do: then the numbers tell the order. */
function isNumbered(paths: readonly string[][]): boolean {
  const heads = new Map<string, string[][]>()
  for (const [head, ...rest] of paths) {
    if (head === undefined) continue
    const list = heads.get(head) ?? []
    list.push(rest)
    heads.set(head, list)
  }
  if (heads.size > 1 && ![...heads.keys()].every((head) => /^\d{1,9}$/.test(head))) return false
  return [...heads.values()].every(isNumbered)
}

function comparePaths(a: string, b: string): number {
  const [left, right] = [a.split('.'), b.split('.')]
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    if (left[i] !== right[i]) return Number(left[i]) - Number(right[i])
  }
  return left.length - right.length
}
