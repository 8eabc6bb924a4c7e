import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { canonicalJson, createRandom, explainReadError, MeshflError, writeFileAtomic } from '@meshfl/core'
import { encodeNifti } from '@meshfl/volume'
import { z } from 'zod'
import { type BrainOptions, checkBrainGrid, DEFAULT_LOOK, makeBrain } from './make-brain.js'

export interface BrainsOptions extends BrainOptions {
  /** The folder to write `images/` and `labels/` in. */
  out: string
  count: number
  /** After each brain: how many are there. */
  onProgress?: (done: number, count: number) => void
  signal?: AbortSignal
}

/** What the brains of a folder were made with, next to them. */
const RECORD = 'brains.json'

/**
 * Writes `images/sub-01.nii.gz` and `labels/sub-01.nii.gz` and so on: two parallel folders, as `meshfl split` takes them, and
 * `brains.json`, which says what they were made with. Brain n depends on the options and n alone: a call that was cut short goes on
 * with the first that is missing, and a call for more adds them, as long as their names have as many digits.
 * @throws MeshflError `SYNTHESIS_GRID`, `BRAINS_EXIST`, `DISK_FULL`, `PATH_NOT_WRITABLE`
 */
export async function makeBrains(options: BrainsOptions): Promise<void> {
  const { out, count, seed, onProgress, signal } = options
  const digits = digitsOf(count)
  checkBrainGrid(options.shape, options.voxelSizeMm)
  await claimFolder(options)
  for (let n = 1; n <= count; n++) {
    signal?.throwIfAborted()
    const name = `sub-${String(n).padStart(digits, '0')}.nii.gz`
    const [imagePath, labelPath] = ['images', 'labels'].map((folder) => join(out, folder, name)) as [string, string]
    // Files are whole or not there, and the label is the last of the two.
    if (!existsSync(labelPath) || !existsSync(imagePath)) {
      const { image, label, shape, affine } = makeBrain({
        ...options,
        seed: createRandom(seed, 'brains', n).uint32(),
      })
      const encode = (voxels: Uint8Array): Promise<Uint8Array> => encodeNifti({ shape, affine, voxels }, { gzip: true })
      const [imageFile, labelFile] = await Promise.all([encode(image), encode(label)])
      await writeFileAtomic(imagePath, imageFile)
      await writeFileAtomic(labelPath, labelFile)
    }
    onProgress?.(n, count)
  }
}

/** Names have as many digits as the last one needs, so that they sort by number. */
function digitsOf(count: number): number {
  return Math.max(2, String(count).length)
}

const RecordSchema = z.strictObject({
  seed: z.number(),
  shape: z.array(z.number()),
  voxelSizeMm: z.number(),
  contrast: z.number(),
  noise: z.number(),
  bias: z.number(),
  count: z.number(),
})

/** Writes the record, unless the folder holds what this call does not make: two kinds of brains in one folder would pass for one. */
async function claimFolder(options: BrainsOptions): Promise<void> {
  const { out, count, seed, shape, voxelSizeMm, contrast, noise, bias } = { ...DEFAULT_LOOK, ...options }
  const wanted = { seed, shape: [...shape], voxelSizeMm, contrast, noise, bias }
  const path = join(out, RECORD)
  if (existsSync(path)) {
    const record = await readRecord(path)
    if (record === undefined) throw brainsExist(out, `a ${RECORD} that cannot be read`)
    const { count: held, ...made } = record
    if (canonicalJson(made) !== canonicalJson(wanted))
      throw brainsExist(out, 'brains that were made with other options')
    if (held > count) throw brainsExist(out, `${held} brains, more than are asked for`)
    if (digitsOf(held) !== digitsOf(count))
      throw brainsExist(out, `brains with names of ${digitsOf(held)} digits, and ${count} need ${digitsOf(count)}`)
  } else if (existsSync(join(out, 'images')) || existsSync(join(out, 'labels'))) {
    throw brainsExist(out, `images or labels, and no ${RECORD} that says what they are`)
  }
  await writeFileAtomic(path, `${JSON.stringify({ ...wanted, count })}\n`)
}

async function readRecord(path: string): Promise<z.infer<typeof RecordSchema> | undefined> {
  const text = await readFile(path, 'utf8').catch((error) => {
    throw explainReadError(error, path)
  })
  try {
    return RecordSchema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

function brainsExist(out: string, what: string): MeshflError {
  return new MeshflError('BRAINS_EXIST', `${out} holds ${what}`, {
    kind: 'usage',
    hint: 'choose another folder, or ask for what was asked for before',
    data: { out },
  })
}
