import { dirname } from 'node:path'
import { MeshflError, modelSha256 } from '@meshfl/core'
import type { Case, DatasetManifest } from '@meshfl/dataset'
import { modelLayout } from '@meshfl/engine'
import { type Checkpoint, type Progress, readCheckpoint, shortHashes } from '@meshfl/training'
import type { TrainedModel } from './trained-model.js'

/**
 * What a report must say where a model was trained on this machine and is scored on cases that it has learned from, or was chosen by, though
 * they are of another part of the dataset now. Nothing of a model without its run, of a federation, or of a run of the version before.
 * @param split that the cases are of
 */
export async function trainedCasesNotes(model: TrainedModel, cases: readonly Case[], split: string): Promise<string[]> {
  const images = await learnedImages(model)
  return images ? learnedCasesNotes(cases, images, split) : []
}

/** The same, where what a model has learned from, and was chosen by, is known otherwise. */
export function learnedCasesNotes(
  cases: readonly Case[],
  images: { train: readonly string[]; valid: readonly string[] },
  split: string,
): string[] {
  const hashes = shortHashes(cases)
  const among = (known: readonly string[]): string[] =>
    cases.flatMap(({ id }, i) => (known.includes(hashes[i]!) ? [id] : []))
  const learned = split === 'train' ? [] : among(images.train)
  const chosen = split === 'test' ? among(images.valid) : []
  return [
    ...(learned.length > 0 ? [`The model was trained on scans that it is scored on here: ${learned.join(', ')}.`] : []),
    ...(chosen.length > 0 ? [`The model was chosen by scans that it is scored on here: ${chosen.join(', ')}.`] : []),
  ]
}

/** What all sites of a dataset together learn from, and are chosen by. */
export function imagesOf({ cases }: Pick<DatasetManifest, 'cases'>): { train: string[]; valid: string[] } {
  const of = (split: string): string[] => shortHashes(cases.filter((one) => one.split === split))
  return { train: of('train'), valid: of('valid') }
}

/** The images that a model has learned from and was chosen by; undefined where that is not known. */
export async function learnedImages(model: TrainedModel): Promise<Progress['images']> {
  return (await checkpointBeside(model))?.progress.images
}

/** The checkpoint of the run that made a model: another run's may lie beside it. */
async function checkpointBeside(model: TrainedModel): Promise<Checkpoint | null> {
  try {
    const checkpoint = await readCheckpoint(model.run ?? dirname(model.file), modelLayout(model.spec))
    const isOf = [checkpoint?.model, checkpoint?.bestModel].some(
      (state) => state && modelSha256(state) === model.sha256,
    )
    return isOf ? checkpoint : null
  } catch (error) {
    const code = error instanceof MeshflError ? error.code : ''
    if (['MODEL_LAYOUT_MISMATCH', 'CHECKPOINT_INVALID', 'SAFETENSORS_MALFORMED'].includes(code)) return null
    throw error
  }
}
