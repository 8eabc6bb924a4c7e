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
  const geometries = await Promise.all([image, ...labels].map(readGeometry))
  // A 4D scan often has a 3D label map: only where there is a choice is it made, and one that nobody has is told of the scan.
  const isChoice = geometries.some(({ volumes }) => volumes > 1)
  for (const [i, path] of [image, ...labels].entries()) {
    const geometry = geometries[i]!
    pickVolume(geometry, path, isChoice && geometry.volumes === 1 ? undefined : volume)
  }
  const grid = geometries[0]!
  const notes: string[] = []
  const shown: SceneLabel[] = []
  for (const [i, label] of labels.entries()) {
    const own = geometries[i + 1]!
    checkGrids(grid, own, { image, label })
    if (!sameGrid(grid, own, TOLERANCE_MM))
      notes.push(`${basename(label)} is on another grid than the scan and is shown where its affine puts it`)
    const names = classNames ? Object.fromEntries(classNames.entries()) : await predictedClassNames(label)
    shown.push({ title: basename(label), path: label, ...(names ? { classNames: names } : {}) })
  }
  return { scene: { title: basename(image), image, labels: shown }, notes }
}
