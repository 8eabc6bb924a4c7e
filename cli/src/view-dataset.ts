import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { openDataset } from '@meshfl/dataset'
import type { Scene, ViewerDocument } from '@meshfl/viewer'

export interface DatasetScenes {
  scenes: Scene[]
  /** Findings that are of no single case. */
  notes: string[]
  /** The quality control that `meshfl split` wrote, which has all cases at a glance. */
  documents: ViewerDocument[]
}

/** The cases of a dataset, each with its label and what was found out about it. @throws MeshflError `DATASET_NOT_FOUND`, `DATASET_CORRUPT` */
export async function datasetScenes(path: string): Promise<DatasetScenes> {
  const { path: folder, manifest } = await openDataset(path)
  const classNames = Object.fromEntries(manifest.labelMap.classes.map(({ value, name }) => [value, name]))
  const scenes = manifest.cases.map((one): Scene => {
    const { id, subject, split, fold, site } = one
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
      labels: [{ title: 'label', path: join(folder, one.label), classNames }],
      notes: notes.map(({ message }) => message),
    }
  })
  const general = manifest.findings.filter(({ subject, level }) => subject === undefined && level !== 'info')
  const qc = join(folder, 'qc.html')
  return {
    scenes,
    notes: general.map(({ message }) => message),
    documents: existsSync(qc) ? [{ title: 'quality control', path: qc }] : [],
  }
}
