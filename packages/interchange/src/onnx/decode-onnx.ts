import { MeshflError } from '@meshfl/core'
import type { FloatType } from '../float-types.js'
import { EPSILON, type NetworkParts } from '../network-parts.js'
import { notMeshNet, partsOfState } from '../parts-of-state.js'
import { printable } from '../printable.js'
import { createGatherer, type StateTensor } from '../state-dict.js'
import { type OnnxGraph, type OnnxNode, readOnnxGraph } from './onnx-graph.js'

const TYPES: Record<number, FloatType> = { 1: 'F32', 10: 'F16', 11: 'F64', 16: 'BF16' }

/**
 * Reads the MeshNet in an ONNX file: one chain of Conv, BatchNormalization or InstanceNormalization, and Elu, Relu or Gelu from the
 * graph's input to its output. Its dilations and its activation are told by the graph.
 * @param source what to call the file in an error
 * @throws MeshflError `ONNX_MALFORMED`, `IMPORT_NOT_MESHNET`, `IMPORT_TENSOR_MALFORMED`, `IMPORT_TOO_LARGE`
 */
export function decodeOnnx(
  bytes: Uint8Array,
  source: string,
): { parts: NetworkParts; metadata: Record<string, string> } {
  const malformed = (what: string): MeshflError =>
    new MeshflError('ONNX_MALFORMED', `${source} is no whole ONNX file: ${what}`, {
      hint: 'check that the file was copied whole, and that it holds one MeshNet',
    })
  const refuse = (what: string): MeshflError => notMeshNet(source, what)
  const graph = readOnnxGraph(bytes, malformed)
  const network = new ChainReader(graph, refuse, source)
  for (const node of chainOf(graph, refuse)) network.add(node)
  return { parts: network.parts(source), metadata: graph.metadata }
}

/** The nodes from the graph's input to its output, each of which takes what the one before it gives. */
function chainOf(graph: OnnxGraph, refuse: (what: string) => MeshflError): OnnxNode[] {
  const [input, ...others] = graph.inputs
  if (input === undefined || others.length > 0) throw refuse(`it has ${graph.inputs.length} inputs, not one`)
  const takers = new Map<string, OnnxNode[]>()
  for (const node of graph.nodes) {
    for (const name of new Set(node.inputs)) {
      const list = takers.get(name) ?? []
      list.push(node)
      takers.set(name, list)
    }
  }
  const chain: OnnxNode[] = []
  let value = input
  for (let next = takers.get(value); next !== undefined; next = takers.get(value)) {
    const [node, second] = next as [OnnxNode, OnnxNode?]
    if (second) throw refuse(`two nodes take what ${printable(value)} is: it is no chain`)
    if (node.inputs[0] !== value || chain.length === graph.nodes.length) throw refuse('its nodes are no chain')
    chain.push(node)
    value = node.outputs[0] ?? ''
  }
  if (value !== graph.outputs[0]) throw refuse('its chain of nodes does not end at its output')
  return chain
}

type Step = 'convolution' | 'normalization' | 'activation' | 'head'

class ChainReader {
  private readonly tensors: StateTensor[] = []
  private readonly dilations: number[] = []
  private readonly activations = new Set<'elu' | 'relu' | 'gelu'>()
  private instances = 0
  private last: Step | undefined
  private readonly gather: ReturnType<typeof createGatherer>

  constructor(
    private readonly graph: OnnxGraph,
    private readonly refuse: (what: string) => MeshflError,
    source: string,
  ) {
    this.gather = createGatherer(source)
  }

  add(node: OnnxNode): void {
    // An operator of somebody else may do anything, whatever it is called.
    if (node.domain !== '' && node.domain !== 'ai.onnx')
      throw this.refuse(`it has the operator ${printable(node.operator)} of the domain ${printable(node.domain)}`)
    switch (node.operator) {
      case 'Conv':
        this.addConvolution(node)
        break
      case 'BatchNormalization':
        this.addBatchNorm(node)
        break
      case 'InstanceNormalization':
        this.addInstanceNorm(node)
        break
      case 'Elu':
        this.addActivation(node, 'elu')
        break
      case 'Relu':
        this.addActivation(node, 'relu')
        break
      case 'Gelu':
        this.addActivation(node, 'gelu')
        break
      case 'Identity':
      case 'Dropout': // does nothing when a network is used
        break
      default:
        throw this.refuse(`it has the operator ${printable(node.operator)}`)
    }
  }

  parts(source: string): NetworkParts {
    const parts = partsOfState({ tensors: this.tensors, inModuleOrder: true, metadata: {} }, source)
    const [activation, ...others] = this.activations
    if (activation === undefined || others.length > 0) throw this.refuse('its blocks have different activations')
    if (this.instances !== 0 && this.instances !== parts.blocks.length)
      throw this.refuse(`${this.instances} of its ${parts.blocks.length} convolutions have an instance normalisation`)
    if (this.instances > 0 && parts.normalization === 'batch') throw this.refuse('it has two kinds of normalisation')
    const normalization = this.instances > 0 ? 'instance' : (parts.normalization ?? 'none')
    return { ...parts, normalization, dilations: this.dilations, activation }
  }

  private addConvolution({ inputs, attributes }: OnnxNode): void {
    const weight = this.tensor(inputs[1], `${this.dilations.length}.convolution.weight`)
    const isHead = weight.shape.slice(2).every((n) => n === 1)
    this.follow(isHead ? 'head' : 'convolution', isHead ? ['activation'] : [undefined, 'activation'])
    const list = (name: string, absent: number, count: number): number[] => {
      const values = attributes.get(name)?.integers ?? new Array<number>(count).fill(absent)
      if (values.length === count) return values
      throw this.refuse(`a convolution of it has ${values.length} ${name}, not ${count}`)
    }
    const dilations = list('dilations', 1, 3)
    const [dilation = 1] = dilations
    const padding = attributes.get('auto_pad')?.text
    const isSame = padding === 'SAME_UPPER' || padding === 'SAME_LOWER'
    const pads = isSame || isHead ? [] : list('pads', 0, 6)
    if (pads.some((pad) => pad !== dilation) || dilations.some((each) => each !== dilation))
      throw this.refuse('a convolution of it is not padded by its dilation')
    if (isHead && list('pads', 0, 6).some((pad) => pad !== 0)) throw this.refuse('its 1x1x1 convolution is padded')
    if ([...list('strides', 1, 3), ...list('group', 1, 1)].some((each) => each !== 1))
      throw this.refuse('a convolution of it has a stride or groups')
    this.tensors.push(weight)
    if (inputs[2]) this.tensors.push(this.tensor(inputs[2], `${this.dilations.length}.convolution.bias`))
    if (!isHead) this.dilations.push(dilation)
  }

  private addBatchNorm({ inputs, outputs, attributes }: OnnxNode): void {
    this.follow('normalization', ['convolution'])
    // Before opset 14 more outputs than one say the same.
    const isTraining = (attributes.get('training_mode')?.integers[0] ?? 0) !== 0 || outputs.slice(1).some(Boolean)
    if (isTraining)
      throw this.refuse('a BatchNorm of it is in training mode, and takes mean and variance of each volume')
    const block = this.dilations.length - 1
    const names = ['weight', 'bias', 'running_mean', 'running_var']
    const tensors = names.map((name, i) => this.tensor(inputs[i + 1], `${block}.normalization.${name}`))
    const epsilon = epsilonOf(attributes)
    if (!(epsilon >= 0 && epsilon < Number.POSITIVE_INFINITY))
      throw this.refuse(`a BatchNorm of it has an epsilon of ${epsilon}`)
    const [weight, variance] = [tensors[0]!.values, tensors[3]!.values]
    if (epsilon === 0 && variance.includes(0))
      throw this.refuse('a BatchNorm of it has an epsilon of 0 and a variance of 0, and divides by it')
    if (epsilon !== EPSILON) takeEpsilon(weight, variance, epsilon)
    this.tensors.push(...tensors)
  }

  private addInstanceNorm({ inputs, attributes }: OnnxNode): void {
    this.follow('normalization', ['convolution'])
    const isPlain =
      this.tensor(inputs[1], 'scale').values.every((value) => value === 1) &&
      this.tensor(inputs[2], 'bias').values.every((value) => value === 0)
    if (!isPlain || epsilonOf(attributes) !== EPSILON)
      throw this.refuse('an instance normalisation of it has weights, or another epsilon than 1e-5')
    this.instances++
  }

  private addActivation({ operator, attributes }: OnnxNode, activation: 'elu' | 'relu' | 'gelu'): void {
    this.follow('activation', ['convolution', 'normalization'])
    const alpha = attributes.get('alpha')
    if (operator === 'Elu' && alpha && alpha.float !== 1) throw this.refuse(`its Elu has an alpha of ${alpha.float}`)
    if (operator === 'Gelu' && attributes.get('approximate')?.text === 'tanh')
      throw this.refuse('its Gelu is approximated by tanh')
    this.activations.add(activation)
  }

  /** Holds the order of a block: convolution, normalisation or none, activation. */
  private follow(step: Step, after: readonly (Step | undefined)[]): void {
    if (!after.includes(this.last)) throw this.refuse(`a ${step} of it follows ${this.last ?? 'its input'}`)
    this.last = step
  }

  private tensor(input: string | undefined, name: string): StateTensor {
    const found = this.graph.tensors.get(input ?? '')
    if (!found) throw this.refuse(`the numbers of ${name} are not in the file`)
    const type = TYPES[found.type]
    if (found.isExternal || !type) throw this.refuse(`the numbers of ${name} lie in another file, or are no floats`)
    const { shape, data } = found
    if (data.byteLength === 0 && shape.every((n) => n > 0))
      throw this.refuse(`the numbers of ${name} are not in raw_data, float_data or double_data`)
    return { name, shape, values: this.gather({ name, shape, type, bytes: data }) }
  }
}

/**
 * Has ours for the epsilon of a BatchNorm, with the same result: weight / sqrt(variance + epsilon) stays as it is. Overwrites both arrays.
 */
function takeEpsilon(weight: Float32Array, variance: Float32Array, epsilon: number): void {
  for (const [i, value] of variance.entries()) {
    if (!(value >= 0)) continue // no variance, and refused for what it is
    const ours = value + epsilon - EPSILON
    variance[i] = Math.max(ours, 0)
    // Where the variance is less than the difference, the weight makes up for what is left.
    if (ours < 0) weight[i]! *= Math.sqrt(EPSILON / (value + epsilon))
  }
}

function epsilonOf(attributes: OnnxNode['attributes']): number {
  const epsilon = attributes.get('epsilon')?.float ?? EPSILON
  return epsilon === Math.fround(EPSILON) ? EPSILON : epsilon
}
