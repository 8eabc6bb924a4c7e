import { readFile } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { explainReadError, MeshflError, mayPass } from '@meshfl/core'
import type { Affine } from '@meshfl/volume'
import { z } from 'zod'
import { foldOf } from './folds.js'
import type { LoadedVolume } from './load-volume.js'
import { type Case, type DatasetManifest, DatasetManifestSchema, type Split } from './manifest.js'
import { readHere, type VolumeReader } from './volume-reader.js'

export const MANIFEST_FILE = 'dataset.json'

/** The voxels of a case, x fastest, and where they are. */
export interface LoadedCase {
  /** Intensities 0 to 255. */
  image: Uint8Array
  /** Class values. */
  label: Uint8Array
  /** Row-major 4x4, voxel to RAS millimetres. */
  affine: Affine
}

/** A prepared dataset, or one site's part of it. */
export interface Dataset {
  /** The folder, absolute. */
  path: string
  manifest: DatasetManifest
  /** The grid of every volume: the engine's D, H, W are z, y, x. */
  grid: { depth: number; height: number; width: number }
  voxelSizeMm: number
  classNames: string[]
  /** The cases of a split, or all. */
  cases(split?: Split): Case[]
  /**
   * Reads a case and holds it against the manifest; the hashes are compared the first time.
   * @throws MeshflError `DATASET_CORRUPT`
   */
  loadCase(item: Case): Promise<LoadedCase>
}

/**
 * Opens a dataset that `meshfl split` made.
 * @param path the dataset's folder, a folder under its sites/, or the dataset.json in either
 * @param reader what reads its volumes; the caller closes it
 * @param fold of its cross-validation, from 0: see `foldOf`
 * @throws MeshflError `DATASET_NOT_FOUND`, `DATASET_CORRUPT`, `FILE_NOT_READABLE`, `FOLD_INVALID`
 */
export async function openDataset(path: string, reader: VolumeReader = readHere, fold?: number): Promise<Dataset> {
  const absolute = resolve(path)
  const folder = basename(absolute) === MANIFEST_FILE ? dirname(absolute) : absolute
  const written = await readManifest(folder)
  const manifest = fold === undefined ? written : foldOf(written, fold)
  const [width, height, depth] = manifest.conform.shape
  const verified = new Set<string>()
  return {
    path: folder,
    manifest,
    grid: { depth, height, width },
    voxelSizeMm: manifest.conform.voxelSizeMm,
    classNames: manifest.labelMap.classes.map(({ name }) => name),
    cases: (split) => manifest.cases.filter((item) => split === undefined || item.split === split),
    async loadCase(item) {
      const [image, label] = await Promise.all([
        load(item.image, 'image', item.imageSha256),
        load(item.label, 'label', item.labelSha256),
      ])
      return { image: image.voxels, label: label.voxels, affine: image.affine }
    },
  }

  async function load(file: string, kind: 'image' | 'label', expected: string): Promise<LoadedVolume> {
    const { shape } = manifest.conform
    const compared = verified.has(file) ? {} : { sha256: expected }
    const volume = await reader.load({ root: folder, file, kind, shape, ...compared })
    verified.add(file)
    return volume
  }
}

/** @throws MeshflError `DATASET_NOT_FOUND`, `DATASET_CORRUPT`, `FILE_NOT_READABLE`, `FILE_SERVER_AWAY`, `OPEN_FILES_USED_UP` */
async function readManifest(folder: string): Promise<DatasetManifest> {
  const path = join(folder, MANIFEST_FILE)
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const explained = explainReadError(error, path)
    if (mayPass(explained) || code === 'EACCES' || code === 'EPERM') throw explained
    throw new MeshflError('DATASET_NOT_FOUND', `${folder} is no dataset: it has no ${MANIFEST_FILE}`, {
      hint: 'give a folder that meshfl split wrote, or make one: meshfl split <source> --out <dataset>',
      data: { path },
      cause: error,
    })
  }
  const corrupt = (what: string): MeshflError =>
    new MeshflError('DATASET_CORRUPT', `${path} is no dataset manifest: ${what}`, {
      hint: 'make the dataset again with meshfl split, or copy it again from where it was made',
      data: { path },
    })
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw corrupt((error as Error).message)
  }
  const parsed = DatasetManifestSchema.safeParse(json)
  if (!parsed.success) throw corrupt(z.prettifyError(parsed.error).split('\n').slice(0, 4).join(' '))
  for (const item of parsed.data.cases) {
    for (const file of [item.image, item.label]) {
      // A dataset may come from someone else: its manifest must not name files outside its folder.
      if (isAbsolute(file) || /^[A-Za-z]:|\\/.test(file) || file.split('/').includes('..')) {
        throw corrupt(`${file} lies outside the dataset`)
      }
    }
  }
  return parsed.data
}
