import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { MeshflError } from '@meshfl/core'
import { type Case, openDataset } from '@meshfl/dataset'
import type { Scene, ViewerDocument } from '@meshfl/viewer'
import { LABEL_ENDING, stemOf } from './prediction-names.js'

export interface DatasetScenes {
  scenes: Scene[]
  /** Findings that are of no case that is shown: of the whole dataset, and of cases that were left out of it. */
  notes: string[]
  /** The quality control that `meshfl split` wrote, which has all cases at a glance. */
  documents: ViewerDocument[]
}

/**
 * The cases of a dataset, each with its label and what was found out about it.
 * @param predictions a folder that `meshfl predict` wrote: where it has a label map of a case's scan, that is there to compare
 * @throws MeshflError `DATASET_NOT_FOUND`, `DATASET_CORRUPT`, `VIEW_NO_PREDICTIONS`
 */
export async function datasetScenes(path: string, predictions?: string): Promise<DatasetScenes> {
  const { path: folder, manifest } = await openDataset(path)
  const classNames = Object.fromEntries(manifest.labelMap.classes.map(({ value, name }) => [value, name]))
  const predictionOf = predictions === undefined ? () => undefined : predictionsIn(predictions, manifest.cases)
  const scenes = manifest.cases.map((one): Scene => {
    const { id, subject, split, fold, site } = one
    const predicted = predictionOf(one)
    const facts = {
      ...(id === subject ? {} : { subject }),
      split: fold === undefined ? split : `fold ${fold}`,
      ...(site === undefined ? {} : { site }),
    }
    const notes = manifest.findings.filter((finding) => [id, subject].includes(finding.subject ?? ''))
    return {
      title: id,
      facts,
      image: join(folder, one.image),
      labels: [
        { title: 'label', path: join(folder, one.label), classNames },
        ...(predicted === undefined ? [] : [{ title: 'prediction', path: predicted, classNames }]),
      ],
      notes: notes.map(({ message }) => message),
    }
  })
  if (predictions !== undefined && scenes.every(({ labels }) => labels.length === 1)) {
    throw new MeshflError('VIEW_NO_PREDICTIONS', `${predictions} has no label map of a case of ${path}`, {
      hint: 'name the folder of --out of meshfl predict, for scans of this dataset',
    })
  }
  const shown = new Set(manifest.cases.flatMap(({ id, subject }) => [id, subject]))
  const general = manifest.findings.filter(
    ({ subject, level }) => level !== 'info' && (subject === undefined || !shown.has(subject)),
  )
  const qc = join(folder, 'qc.html')
  return {
    scenes,
    notes: general.map(({ message }) => message),
    documents: existsSync(qc) ? [{ title: 'quality control', path: qc }] : [],
  }
}

/** Finds the label map of a case's scan: by the name that the scan had before `meshfl split`, or by that of the case. */
function predictionsIn(folder: string, cases: readonly Case[]): (one: Case) => string | undefined {
  const stems = new Map<string, number>()
  for (const { source } of cases) stems.set(stemOf(source.image), (stems.get(stemOf(source.image)) ?? 0) + 1)
  // Of a name that several scans have, as FreeSurfer's T1.mgz, nobody can tell whose map it is.
  const isOwn = (stem: string): boolean => stems.get(stem) === 1
  return ({ id, source }) =>
    [stemOf(source.image), id]
      .filter((stem) => stem === id || isOwn(stem))
      .map((stem) => join(folder, `${stem}${LABEL_ENDING}`))
      .find((file) => existsSync(file))
}
