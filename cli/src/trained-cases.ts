import { dirname } from 'node:path'
import { explainReadError, MeshflError, modelSha256 } from '@meshfl/core'
import type { Dataset } from '@meshfl/dataset'
import { modelLayout } from '@meshfl/engine'
import { casesSha256, readCheckpoint } from '@meshfl/training'
import type { TrainedModel } from './trained-model.js'

/**
 * What a report must say where a model was trained on this machine, and a dataset deals its cases otherwise than the one that it was
 * trained on: a case that is scored may then be one that it has learned from. Nothing of a model without its run, or of a federation.
 */
export async function trainedCasesNotes(model: TrainedModel, dataset: Dataset): Promise<string[]> {
  const { name } = dataset.manifest
  const run = model.run ?? dirname(model.file)
  try {
    const checkpoint = await readCheckpoint(run, modelLayout(model.spec))
    const trained = checkpoint?.progress.casesSha256
    if (
      checkpoint === null ||
      trained === undefined ||
      trained === casesSha256(dataset.cases('train'), dataset.cases('valid'))
    )
      return []
    // A model file may lie beside the checkpoint of another run.
    if (![checkpoint.model, checkpoint.bestModel].some((state) => modelSha256(state) === model.sha256)) return []
    return [
      `The cases of ${name} for training and validation are not those that the model was trained on: where its split was made anew, the model may have learned from cases that are scored here.`,
    ]
  } catch (thrown) {
    const error = explainReadError(thrown, run)
    if (!(error instanceof MeshflError) || error.kind !== 'data') throw error
    return [`Whether the model was trained on cases of ${name} cannot be told: ${error.message}.`]
  }
}
