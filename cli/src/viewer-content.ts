import { basename, join, resolve } from 'node:path'
import { faultOfClassNames, MeshflError } from '@meshfl/core'
import { CLASS_COLOURS } from '@meshfl/evaluation'
import { createRunFollower, type ViewerContent, type ViewerDocument } from '@meshfl/viewer'
import { datasetScenes } from './view-dataset.js'
import { imageScene } from './view-images.js'
import { runReports } from './view-run.js'
import { viewSource } from './view-source.js'

export interface ViewRequest {
  path: string
  labels: readonly string[]
  data?: string | undefined
  pred?: string | undefined
  classes?: string | undefined
  volume?: number | undefined
}

/** Reads what is to be shown: of scans only their headers. @throws MeshflError `USAGE_OPTION` and those of what is read */
export async function viewerContent({
  path,
  labels,
  data,
  pred,
  classes,
  volume,
}: ViewRequest): Promise<ViewerContent> {
  const { kind, path: source } = viewSource(path)
  const isImage = kind === 'image'
  if (!isImage && (labels.length > 0 || classes !== undefined || volume !== undefined))
    throw usage('label maps, --classes and --volume are of a scan', 'name the scan first, then its label maps')
  if (kind !== 'run' && data !== undefined) throw usage('--data is of a run', `meshfl view ${data} shows its cases`)
  if (pred !== undefined && kind !== 'dataset' && data === undefined)
    throw usage('--pred is of the cases of a dataset', 'name a dataset, with --data where a run is looked at')
  const title = basename(resolve(source))
  const classColours = CLASS_COLOURS.map(({ overlay }) => overlay)
  switch (kind) {
    case 'image': {
      const { scene, notes } = await imageScene({ image: source, labels, classNames: namesOf(classes), volume })
      return { kind, title, classColours, scenes: [scene], notes }
    }
    case 'dataset': {
      const { documents, ...dataset } = await datasetScenes(source, pred)
      return { kind, title, classColours, ...dataset, documents: () => documents }
    }
    case 'run': {
      const dataset = data === undefined ? undefined : await datasetScenes(data, pred)
      const follower = createRunFollower(join(source, 'events.jsonl'))
      const reports = (): ViewerDocument[] => [...runReports(source), ...(dataset?.documents ?? [])]
      reports() // A folder that cannot be read is told before there is a page.
      return {
        ...{ kind, title, classColours, scenes: dataset?.scenes ?? [], notes: dataset?.notes ?? [] },
        ...{ run: follower.figures, documents: reports },
      }
    }
  }
}

function namesOf(classes: string | undefined): string[] | undefined {
  if (classes === undefined) return undefined
  const names = classes.split(',').map((name) => name.trim())
  const fault = faultOfClassNames(names)
  if (fault !== undefined) throw usage(`--classes: ${fault}`, 'name every class once, from 0, with commas')
  return names
}

function usage(message: string, hint: string): MeshflError {
  return new MeshflError('USAGE_OPTION', message, { kind: 'usage', hint })
}
