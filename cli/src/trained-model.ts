import { existsSync, statSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  decodeModel,
  decodeSafetensors,
  explainReadError,
  MeshflError,
  type MeshNetSpec,
  MOST_MODEL_HEADER_BYTES,
  type ModelData,
  type ModelState,
  modelSha256,
  readModelMetadata,
  type SafetensorsFile,
} from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import { axesOfModelFile, formatOfModel, turnModel } from '@meshfl/interchange'

/** A model ready to segment, and what its file says of the data it was trained on. */
export interface TrainedModel {
  spec: MeshNetSpec
  state: ModelState
  sha256: string
  file: string
  data: ModelData
  /** The run's folder, when a run was named. */
  run?: string
}

/** A run's best model; where no validation chose one, its latest; at a site, the final one. */
const MODEL_FILES = ['best.safetensors', 'latest.safetensors', 'model.safetensors']

/**
 * Opens the model of a run's folder, or a model file.
 * @throws MeshflError `FILE_NOT_FOUND`, `FILE_NOT_READABLE`, `RUN_HAS_NO_MODEL`, `SAFETENSORS_MALFORMED`, `MODEL_LAYOUT_MISMATCH`, `MODEL_SPEC_UNKNOWN`
 */
export async function openTrainedModel(path: string): Promise<TrainedModel> {
  if (!existsSync(path)) {
    throw new MeshflError('FILE_NOT_FOUND', `there is no ${path}`, { hint: 'name a run folder or a model file' })
  }
  if (!statSync(path).isDirectory()) return readModel(path)
  const names = await readdir(path).catch((cause) => {
    throw explainReadError(cause, path)
  })
  const name = MODEL_FILES.find((candidate) => names.includes(candidate))
  if (!name) {
    throw new MeshflError('RUN_HAS_NO_MODEL', `${path} has no model yet`, {
      hint: 'name a run that has finished a round, or a .safetensors file',
    })
  }
  return { ...(await readModel(join(path, name))), run: path }
}

async function readModel(file: string): Promise<TrainedModel> {
  const bytes = await readFile(file).catch((cause) => {
    throw explainReadError(cause, file)
  })
  const { metadata } = decodeModelFile(bytes, file)
  const { spec, data } = readModelMetadata(metadata, file)
  const { parameters, statistics } = decodeModel(modelLayout(spec), bytes, file)
  // `meshfl export` may have turned it to the axes of other tools.
  const isTurned = axesOfModelFile(metadata, file) === 'xyz'
  const state = isTurned ? turnModel(spec, { parameters, statistics }) : { parameters, statistics }
  return { spec, state, sha256: modelSha256(state), file, data }
}

function decodeModelFile(bytes: Uint8Array, file: string): SafetensorsFile {
  try {
    return decodeSafetensors(bytes, file, MOST_MODEL_HEADER_BYTES)
  } catch (error) {
    const format = formatOfModel(bytes)
    if (!(error instanceof MeshflError) || format === undefined || format === 'safetensors') throw error
    throw new MeshflError(error.code, `${file} is no model file of meshfl, but one of another tool`, {
      hint: `turn it into one: meshfl import ${file} --out model.safetensors`,
      cause: error,
    })
  }
}
