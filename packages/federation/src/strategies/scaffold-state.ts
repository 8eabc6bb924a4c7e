import { bytesOf, decodeSafetensors, encodeSafetensors, MeshflError } from '@meshfl/core'
import { floatView } from '../vector-tensor.js'

/** A site's control variate as the server counts it. */
interface SiteControl {
  readonly site: string
  /** c_i, as the site sent it. */
  readonly control: Float32Array
  /** Training volumes of the update that it came with: its weight. */
  readonly samples: number
}

/** All that scaffold's server remembers. */
export interface ScaffoldState {
  /** c: what the next tasks carry. */
  readonly mean: Float32Array
  /** Of the approved sites that have had an update counted, sorted by name. */
  readonly sites: readonly SiteControl[]
}

const MEAN = 'c'
const OF_SITE = 'c_i/'

/** A float32 for every parameter and site: what came as float32 needs no more. Same values, same bytes. */
export function encodeScaffoldState({ mean, sites }: ScaffoldState): Uint8Array {
  const tensor = (name: string, values: Float32Array) => ({
    ...{ name, dtype: 'F32' as const, shape: [values.length], data: bytesOf(values) },
  })
  return encodeSafetensors({
    tensors: [tensor(MEAN, mean), ...sites.map(({ site, control }) => tensor(`${OF_SITE}${site}`, control))],
    metadata: { samples: JSON.stringify(sites.map(({ site, samples }) => [site, samples])) },
  })
}

/**
 * What `encodeScaffoldState` wrote, as views of its bytes where they lie right; before the first round nobody has had an update counted.
 * @param length parameters of the model
 * @throws MeshflError `COMMIT_INVALID` when the state is of another strategy, model or version
 */
export function readScaffoldState(state: Uint8Array | null, length: number): ScaffoldState {
  if (state === null) return { mean: new Float32Array(length), sites: [] }
  const { tensors, metadata } = decodeSafetensors(state, 'the server’s control variates')
  const vectors = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  const demand = (name: string): Float32Array => {
    const tensor = vectors.get(name)
    if (tensor?.dtype !== 'F32' || tensor.data.byteLength !== 4 * length)
      throw invalid(`no ${name} of ${length} floats`)
    return floatView(tensor.data)
  }
  // The version before kept their sum alone, and no one can tell what each site's part of it is.
  if (metadata.samples === undefined) throw invalid('no control variate of each site')
  const counted = JSON.parse(metadata.samples) as [string, number][]
  return {
    mean: demand(MEAN),
    sites: counted.map(([site, samples]) => ({ site, control: demand(`${OF_SITE}${site}`), samples })),
  }
}

function invalid(lack: string): MeshflError {
  return new MeshflError('COMMIT_INVALID', `the commit has ${lack}`, {
    hint: 'a run of an earlier version goes on with that version only; else restore the run’s folder from a backup, or start again in an empty one',
  })
}
