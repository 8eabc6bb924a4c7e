import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createRandom, sha256 } from '@meshfl/core'
import { type Affine, encodeNifti, type Shape } from '@meshfl/volume'
import { afterAll } from 'vitest'
import { type DatasetManifest, DatasetManifestSchema } from './manifest.js'
import type { PrepareOptions } from './prepare-options.js'

const folders: string[] = []
afterAll(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'meshfl-dataset-'))
  folders.push(folder)
  return folder
}

export const SMALL_SHAPE: Shape = [20, 22, 24]
/** 8 mm voxels in RAS, off the world's centre. */
export const SMALL_AFFINE: Affine = [8, 0, 0, -75, 0, 8, 0, -90, 0, 0, 8, -60, 0, 0, 0, 1]

export interface SmallBrain {
  image: Int16Array
  /** 0 background, 1 white, 2 grey. */
  label: Uint8Array
}

/**
 * A ball of white matter in a shell of grey matter, bright and dark as on a T1, in a head of blocks: every seed has a place
 * and a head of its own, so that no two are taken for one scan.
 */
export function smallBrain(seed: number, shape: Shape = SMALL_SHAPE): SmallBrain {
  const random = createRandom(seed, 'small-brain')
  const centre = shape.map((size) => size / 2 + random.integer(5) - 2) as [number, number, number]
  const blocks = Array.from({ length: 512 }, () => random.integer(500))
  const count = shape[0] * shape[1] * shape[2]
  const image = new Int16Array(count)
  const label = new Uint8Array(count)
  for (let i = 0; i < count; i++) {
    const [x, y, z] = [i % shape[0], Math.floor(i / shape[0]) % shape[1], Math.floor(i / (shape[0] * shape[1]))]
    const radius = Math.hypot(x - centre[0], y - centre[1], z - centre[2])
    label[i] = radius < 5 ? 1 : radius < 7.5 ? 2 : 0
    const base = [blocks[(x >> 2) + 8 * ((y >> 2) + 8 * (z >> 2))]!, 900, 600][label[i]!]!
    image[i] = base + random.integer(60)
  }
  return { image, label }
}

export async function writeVolume(
  path: string,
  voxels: Int16Array | Uint8Array | Float32Array | Int32Array,
  { shape = SMALL_SHAPE, affine = SMALL_AFFINE }: { shape?: Shape; affine?: Affine } = {},
): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, await encodeNifti({ shape, affine, voxels }, { gzip: path.endsWith('.gz') }))
}

/** images/<id>.nii.gz and labels/<id>.nii.gz for every id, each with a brain of its own. */
export async function writeFolders(root: string, ids: readonly string[]): Promise<void> {
  for (const [index, id] of ids.entries()) {
    const { image, label } = smallBrain(index)
    await writeVolume(join(root, 'images', `${id}.nii.gz`), image)
    await writeVolume(join(root, 'labels', `${id}.nii.gz`), label)
  }
}

export function optionsFor(source: string, out: string, more: Partial<PrepareOptions> = {}): PrepareOptions {
  return {
    source,
    out,
    labelMap: 'gw3',
    conform: { mode: 'freesurfer', shape: [16, 16, 16], voxelSizeMm: 10 },
    ratios: [0.5, 0.25, 0.25],
    partition: 'iid',
    seed: 0,
    name: 'small',
    toolVersion: '0.0.0',
    ...more,
  }
}

/** A source folder with a brain for every id. */
export async function sourceOf(ids: readonly string[]): Promise<string> {
  const root = await temporaryFolder()
  await writeFolders(root, ids)
  return root
}

export async function readManifest(folder: string): Promise<DatasetManifest> {
  return DatasetManifestSchema.parse(JSON.parse(await readFile(join(folder, 'dataset.json'), 'utf8')))
}

/** SHA-256 of every file below a folder by its relative path. */
export async function hashTree(root: string): Promise<Record<string, string>> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const hashes: Record<string, string> = {}
  for (const file of files.sort()) hashes[file.slice(root.length + 1)] = sha256(await readFile(file))
  return hashes
}

/** A folder with empty files of these names: pairing looks at names only. */
export async function folderWith(...files: string[]): Promise<string> {
  const root = await temporaryFolder()
  for (const file of files) {
    await mkdir(dirname(join(root, file)), { recursive: true })
    await writeFile(join(root, file), '')
  }
  return root
}

/** The pairs that were found, with paths below their source. */
export const pairs = (found: { cases: { subject: string; image: string; label: string }[] }, root: string): string[] =>
  found.cases.map(
    ({ subject, image, label }) => `${subject}: ${image.slice(root.length + 1)} + ${label.slice(root.length + 1)}`,
  )
