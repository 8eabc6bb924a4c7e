import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  bytesOf,
  decodeSafetensors,
  encodeSafetensors,
  MeshflError,
  type ModelLayout,
  type NamedTensor,
  writeFileAtomic,
} from '@meshfl/core'
import type { ApprovedSite } from './admissions.js'
import type { Contribution } from './aggregate.js'
import type { Population } from './strategies/strategy.js'
import { floatsOf } from './vector-tensor.js'

/** All approved sites, as strategies see them. */
export function populationOf(sites: readonly ApprovedSite[]): Population {
  return sites.map(({ site, description }) => ({ site, samples: description.trainCases }))
}

/**
 * The updates of closed rounds, `<run>/updates/0001.safetensors`, readable by the owner only: a file a round, written before the
 * round's commit. A single site's update tells more of its scans than the average does, so they are kept only when a study says so.
 */
export class KeptUpdates {
  readonly #run: string
  readonly #layout: ModelLayout

  constructor(run: string, layout: ModelLayout) {
    this.#run = run
    this.#layout = layout
  }

  /** @throws MeshflError `DISK_FULL`, `PATH_NOT_WRITABLE` */
  async write(round: number, contributions: readonly Contribution[], population: Population): Promise<void> {
    const tensors = contributions.flatMap(({ site, model, vector }) => [
      floats(`${site}/parameters`, model.parameters),
      floats(`${site}/statistics`, model.statistics),
      ...(vector ? [floats(`${site}/vector`, vector)] : []),
    ])
    const samples = JSON.stringify(contributions.map(({ site, samples }) => [site, samples]))
    const metadata = {
      'meshfl.layout': this.#layout.sha256,
      round: String(round),
      population: JSON.stringify(population.map(({ site, samples }) => [site, samples])),
      samples,
    }
    await writeFileAtomic(this.#path(round), encodeSafetensors({ tensors, metadata }), { mode: 0o600 })
  }

  /** What a round was computed from; undefined where it was not kept. @throws MeshflError `UPDATES_MALFORMED` */
  async read(round: number): Promise<{ contributions: Contribution[]; population: Population } | undefined> {
    const path = this.#path(round)
    if (!existsSync(path)) return undefined
    try {
      const { tensors, metadata } = decodeSafetensors(await readFile(path), path)
      if (metadata['meshfl.layout'] !== this.#layout.sha256) throw new Error('it is of another model')
      const find = (name: string): Float32Array | undefined => {
        const tensor = tensors.find((item) => item.name === name)
        return tensor && floatsOf(tensor.data)
      }
      const demand = (name: string, length: number): Float32Array => {
        const values = find(name)
        if (values?.length !== length) throw new Error(`${name} has ${values?.length ?? 'no'} values, not ${length}`)
        return values
      }
      const contributions = (JSON.parse(metadata.samples ?? '') as [string, number][]).map(([site, samples]) => {
        const vector = find(`${site}/vector`)
        const model = {
          parameters: demand(`${site}/parameters`, this.#layout.parameterCount),
          statistics: demand(`${site}/statistics`, this.#layout.statisticCount),
        }
        return { site, samples, model, ...(vector ? { vector } : {}) }
      })
      return { contributions, population: readPopulation(metadata.population) }
    } catch (error) {
      throw new MeshflError('UPDATES_MALFORMED', `${path} cannot be read: ${(error as Error).message}`, {
        hint: 'restore it from a backup; without it the rounds from there on cannot be computed again',
        data: { path },
        cause: error,
      })
    }
  }

  #path(round: number): string {
    return join(this.#run, 'updates', `${String(round).padStart(4, '0')}.safetensors`)
  }
}

/** Empty where a version before kept how many volumes they had in all: no model of a round depends on it. */
function readPopulation(text = '0'): Population {
  const value = JSON.parse(text) as number | [string, number][]
  return typeof value === 'number' ? [] : value.map(([site, samples]) => ({ site, samples }))
}

function floats(name: string, values: Float32Array): NamedTensor {
  return { name, dtype: 'F32', shape: [values.length], data: bytesOf(values) }
}
