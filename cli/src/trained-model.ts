import { existsSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  decodeModel,
  decodeSafetensors,
  MeshflError,
  type MeshNetSpec,
  MeshNetSpecSchema,
  type ModelState,
  modelSha256,
  type Study,
} from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import { readRunStudy } from './run-folder.js'

/** A model ready to segment: its spec, weights, and the run it came from. */
export interface TrainedModel {
  spec: MeshNetSpec
  state: ModelState
  sha256: string
  file: string
  /** The run's folder, when a run was named. */
  run?: string
  study?: Study
}

/**
 * Opens a run's best model (or its latest, where no validation chose a best), or a model file.
 * @throws MeshflError `FILE_NOT_FOUND`, `RUN_HAS_NO_MODEL`, `SAFETENSORS_MALFORMED`, `MODEL_LAYOUT_MISMATCH`, `MODEL_SPEC_UNKNOWN`
 */
export async function openTrainedModel(path: string, which: 'best' | 'latest' = 'best'): Promise<TrainedModel> {
  if (!existsSync(path))
    throw new MeshflError('FILE_NOT_FOUND', `there is no ${path}`, { hint: 'name a run folder or a model file' })
  if (!statSync(path).isDirectory()) {
    const bytes = await readFile(path)
    return { ...readState(specOf(bytes, path), bytes, path), file: path }
  }
  const candidates =
    which === 'best' ? ['best.safetensors', 'latest.safetensors', 'model.safetensors'] : ['latest.safetensors']
  const file = candidates.map((name) => join(path, name)).find(existsSync)
  if (!file) {
    throw new MeshflError('RUN_HAS_NO_MODEL', `${path} has no model yet`, {
      hint: 'name a run that has finished a round, or a .safetensors file',
    })
  }
  const bytes = await readFile(file)
  if (!existsSync(join(path, 'study.yaml'))) return { ...readState(specOf(bytes, file), bytes, file), file, run: path }
  const study = await readRunStudy(path)
  return { ...readState(study.model, bytes, file), file, run: path, study }
}

function readState(
  spec: MeshNetSpec,
  bytes: Uint8Array,
  source: string,
): Pick<TrainedModel, 'spec' | 'state' | 'sha256'> {
  const { parameters, statistics } = decodeModel(modelLayout(spec), bytes, source)
  const state = { parameters, statistics }
  return { spec, state, sha256: modelSha256(state) }
}

/** The spec that a model file names; without one, the paper's model is tried by its layout. */
function specOf(bytes: Uint8Array, source: string): MeshNetSpec {
  const text = decodeSafetensors(bytes, source).metadata['meshfl.spec']
  if (text === undefined) return MeshNetSpecSchema.parse({})
  try {
    return MeshNetSpecSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new MeshflError('MODEL_SPEC_UNKNOWN', `${source} names a model spec that this version does not know`, {
      hint: 'use the version of meshfl that wrote it',
      cause,
    })
  }
}
