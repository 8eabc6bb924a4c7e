import { basename } from 'node:path'
import { checkGrids } from '@meshfl/dataset'
import type { Scene, SceneLabel } from '@meshfl/viewer'
import { pickVolume, readGeometry, sameGrid } from '@meshfl/volume'
import { predictedClassNames } from './volumes-table.js'

export interface ViewImagesOptions {
  image: string
  labels: readonly string[]
  /** Names of the classes from 0; undefined: those of the table that `meshfl predict` wrote beside a label map. */
  classNames?: readonly string[] | undefined
  /** Which volume of 4D files, from 0. */
  volume?: number | undefined
}

const TOLERANCE_MM = 0.01

/**
 * A scan with its label maps. One on another grid is shown where its affine says that it lies.
 * @throws MeshflError `LABEL_GRID_MISMATCH`, `VOLUME_NOT_3D`, and those of reading a header
 */
export async function imageScene({
  image,
  labels,
  classNames,
  volume,
}: ViewImagesOptions): Promise<{ scene: Scene; notes: string[] }> {
  const grid = await geometryOf(image, volume)
  const notes: string[] = []
  const shown: SceneLabel[] = []
  for (const label of labels) {
    const own = await geometryOf(label, volume)
    checkGrids(grid, own, { image, label })
    if (!sameGrid(grid, own, TOLERANCE_MM))
      notes.push(`${basename(label)} is on another grid than the scan and is shown where its affine puts it`)
    const names = classNames ? Object.fromEntries(classNames.entries()) : await predictedClassNames(label)
    shown.push({ title: basename(label), path: label, ...(names ? { classNames: names } : {}) })
  }
  return { scene: { title: basename(image), image, labels: shown }, notes }
}

async function geometryOf(path: string, volume: number | undefined) {
  const geometry = await readGeometry(path)
  pickVolume(geometry, path, volume)
  return geometry
}
