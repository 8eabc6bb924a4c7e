import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  canonicalJson,
  decodeModel,
  encodeModel,
  explainReadError,
  MeshflError,
  type MeshNetSpec,
  type ModelState,
  modelMetadata,
  modelSha256,
  type Study,
  writeFileAtomic,
} from '@meshfl/core'
import { initializeModel, modelLayout } from '@meshfl/engine'
import { openTrainedModel, type TrainedModel } from './trained-model.js'

/** In a run's folder: the model that it began with, where that was not drawn from the seed. */
const INITIAL_FILE = 'initial.safetensors'

/** Whether a model's file names its classes, or they are only counted. */
export function hasNamedClasses(classNames: readonly string[]): boolean {
  return classNames.some((name, i) => name !== `class ${i}`)
}

/**
 * Checks that a study's training can begin with a model.
 * @throws MeshflError `INITIAL_MODEL_MISMATCH`
 */
export function checkInitialModel({ spec, data, file }: TrainedModel, study: Study): void {
  const refuse = (what: string): MeshflError =>
    new MeshflError('INITIAL_MODEL_MISMATCH', `a run cannot begin with ${file}: ${what}`, {
      kind: 'usage',
      hint: 'name a model of the same classes and the same network, or write a study with those of the model',
    })
  const names = data.classNames
  if (hasNamedClasses(names) && canonicalJson(names) !== canonicalJson(study.classNames))
    throw refuse(`its classes are ${names.join(', ')}, the study has ${study.classNames.join(', ')}`)
  const [its, asked] = [networkOf(spec), networkOf(study.model)]
  if (its !== asked) throw refuse(`its network is ${its}, the study has ${asked}`)
}

/** What a network computes, also where its weights have the same shapes: dropout alone is a matter of training. */
function networkOf({ dropout: _, ...network }: MeshNetSpec): string {
  return canonicalJson(network)
}

/**
 * Keeps the model that a new run begins with in the run's folder: nothing else has to be there when it goes on or is audited.
 * @param from a run's folder or a model file
 * @returns the path of the file
 * @throws MeshflError `INITIAL_MODEL_MISSING`, those of `openTrainedModel` and `writeFileAtomic`
 */
export async function keepInitialModel(folder: string, study: Study, from: string): Promise<string> {
  const { state, sha256, file } = await openTrainedModel(from)
  if (sha256 !== study.initialSha256) throw missing(`${file} was written anew a moment ago`)
  const bytes = encodeModel(modelLayout(study.model), state, modelMetadata(study, 0))
  const path = join(folder, INITIAL_FILE)
  await writeFileAtomic(path, bytes)
  return path
}

/**
 * The model that a run begins with: that of its folder, or drawn from its seed.
 * @throws MeshflError `INITIAL_MODEL_MISSING`, `MODEL_LAYOUT_MISMATCH`, `SAFETENSORS_MALFORMED`
 */
export async function initialModelOf(folder: string, study: Study): Promise<ModelState> {
  if (study.initialSha256 === undefined) return initializeModel(study.model, study.seed)
  const path = join(folder, INITIAL_FILE)
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' ? missing(`${path} is not there`) : explainReadError(error, path)
  })
  const { parameters, statistics } = decodeModel(modelLayout(study.model), bytes, path)
  const model = { parameters, statistics }
  if (modelSha256(model) !== study.initialSha256) throw missing(`${path} holds another one`)
  return model
}

function missing(what: string): MeshflError {
  return new MeshflError('INITIAL_MODEL_MISSING', `the model that the run begins with cannot be had: ${what}`, {
    hint: 'name it with --from when the run is started; to go on, bring the file back',
  })
}
