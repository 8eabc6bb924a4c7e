import { MeshflError } from '@meshfl/core'
import type { DatasetManifest } from './manifest.js'

/**
 * The dataset as one fold of its cross-validation has it: the cases of that fold are its validation, the other folds it trains on.
 * @param fold from 0
 * @throws MeshflError `FOLD_INVALID`
 */
export function foldOf(manifest: DatasetManifest, fold: number): DatasetManifest {
  const { folds, name } = manifest
  if (folds === undefined || !Number.isInteger(fold) || fold < 0 || fold >= folds) {
    throw new MeshflError('FOLD_INVALID', `${name} has no fold ${fold}: ${foldsText(manifest)}`, {
      kind: 'usage',
      hint: folds === undefined ? 'leave --fold out, or prepare the dataset with --folds' : 'choose one of these',
      data: { fold, folds },
    })
  }
  const splitOf = (own: number): 'train' | 'valid' => (own === fold ? 'valid' : 'train')
  return {
    ...manifest,
    cases: manifest.cases.map((item) => (item.fold === undefined ? item : { ...item, split: splitOf(item.fold) })),
  }
}

/**
 * Refuses a dataset of folds of which none was chosen: all of it but its test would be trained on.
 * @throws MeshflError `FOLD_INVALID`
 */
export function checkFoldChosen(manifest: DatasetManifest, fold: number | undefined): void {
  if (manifest.folds === undefined || fold !== undefined) return
  throw new MeshflError('FOLD_INVALID', `no fold of ${manifest.name} was chosen: ${foldsText(manifest)}`, {
    kind: 'usage',
    hint: 'name one for meshfl train or eval, such as --fold 0, or prepare a dataset without --folds',
    data: { folds: manifest.folds },
  })
}

function foldsText({ folds }: DatasetManifest): string {
  return folds === undefined ? 'it was not dealt to folds' : `it has those from 0 to ${folds - 1}`
}
