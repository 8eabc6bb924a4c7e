import { open } from 'node:fs/promises'
import { explainReadError, fileNotFound, MeshflError } from '@meshfl/core'
import { BYTES_PER_VOXEL } from './datatype.js'
import { applyScaling, checkFinite, decodeVoxels, integerLabels } from './decode-voxels.js'
import { dataBytes, parseHeader } from './header.js'
import { inflate, inflateHeader, inflateSync, isGzip } from './inflate.js'
import { truncated } from './read-errors.js'
import { readWholeFile } from './read-file.js'
import { type Geometry, type Volume, voxelCount } from './volume.js'
import type { VolumeHeader } from './volume-header.js'

export interface ReadOptions {
  /** An image has its scaling applied; a label must hold whole numbers and stays an integer type. */
  kind: 'image' | 'label'
  /** Which volume of a 4D file, from 0. */
  volume?: number
  /** Reads NaN and infinity as 0 and counts them in `zeroed`, instead of refusing the file. */
  nanToZero?: boolean
}

/** Enough of a file, compressed or not, for its header. */
const HEAD_BYTES = 1 << 17

/**
 * Reads a volume: .nii, .nii.gz, .hdr with .img (either may be named, either may be gzipped), .mgh, .mgz.
 * The content decides, not the name. Unscaled integer voxels keep their type; scaled ones become float32.
 * @throws MeshflError `FILE_NOT_FOUND`, `VOLUME_NOT_RECOGNIZED`, `VOLUME_TRUNCATED`, `VOLUME_BAD_CRC`, `VOLUME_TYPE_UNSUPPORTED`,
 * `VOLUME_NOT_3D`, `VOLUME_NOT_FINITE`, `VOLUME_AFFINE_SINGULAR`, `LABEL_NOT_INTEGER`
 */
export async function readVolume(path: string, options: ReadOptions): Promise<Volume> {
  const headerPath = await headerOf(path)
  const file = await readWholeFile(headerPath)
  const bytes = isGzip(file) ? await inflate(file, headerPath) : file
  const header = parseHeader(bytes, headerPath)
  if (!header.separate) return build(header, bytes, headerPath, options)
  const imagePath = await imageOf(headerPath)
  const image = await readWholeFile(imagePath)
  const voxels = isGzip(image) ? await inflate(image, imagePath, header.dataOffset + dataBytes(header)) : image
  return build(header, voxels, imagePath, options)
}

/**
 * As `readVolume`, from bytes, which may be gzipped. The voxels may be a view of them.
 * @param name what to call the file in an error
 * @param imageBytes the .img file, where `bytes` is a .hdr file
 */
export function parseVolume(bytes: Uint8Array, name: string, options: ReadOptions, imageBytes?: Uint8Array): Volume {
  const plain = isGzip(bytes) ? inflateSync(bytes, name) : bytes
  const header = parseHeader(plain, name)
  if (!header.separate) return build(header, plain, name, options)
  if (imageBytes === undefined)
    throw fileNotFound(name.replace(/\.hdr(\.gz)?$/, '.img'), 'the voxels of a .hdr file are in its .img file')
  const expected = header.dataOffset + dataBytes(header)
  return build(header, isGzip(imageBytes) ? inflateSync(imageBytes, name, expected) : imageBytes, name, options)
}

/** Reads where a volume's voxels are, and how many volumes the file holds, from its first kilobytes. */
export async function readGeometry(path: string): Promise<Geometry & { volumes: number }> {
  const headerPath = await headerOf(path)
  const head = await readHead(headerPath)
  const { shape, affine, volumes } = parseHeader(isGzip(head) ? inflateHeader(head, headerPath) : head, headerPath)
  return { shape, affine, volumes }
}

function build(header: VolumeHeader, bytes: Uint8Array, name: string, options: ReadOptions): Volume {
  const index = pickVolume(header, name, options.volume)
  const need = header.dataOffset + dataBytes(header)
  if (bytes.length < need) throw truncated(name, bytes.length, need)
  const count = voxelCount(header.shape)
  const offset = header.dataOffset + index * count * BYTES_PER_VOXEL[header.type]
  const stored = decodeVoxels(bytes, offset, count, header.type, header.littleEndian)
  const scaled = applyScaling(stored, header.slope, header.intercept)
  const { voxels, zeroed } = checkFinite(scaled, name, options.nanToZero ?? false)
  return {
    shape: header.shape,
    affine: header.affine,
    voxels: options.kind === 'label' ? integerLabels(voxels, name) : voxels,
    storedType: header.type,
    slope: header.slope,
    intercept: header.intercept,
    ...(zeroed > 0 ? { zeroed } : {}),
    ...(header.isUnplaced ? { isUnplaced: true as const } : {}),
  }
}

/**
 * Which volume of a file is read, as its header alone tells.
 * @param wanted from 0; undefined: the only one
 * @throws MeshflError `VOLUME_NOT_3D`
 */
export function pickVolume(
  { volumes, shape }: Pick<VolumeHeader, 'volumes' | 'shape'>,
  name: string,
  wanted: number | undefined,
): number {
  if (wanted === undefined && volumes === 1) return 0
  if (wanted !== undefined && Number.isInteger(wanted) && wanted >= 0 && wanted < volumes) return wanted
  const what = wanted === undefined ? 'one is needed' : `it has no volume ${wanted}`
  throw new MeshflError(
    'VOLUME_NOT_3D',
    `${name} holds ${volumes} volumes of ${shape.join(' x ')} (0 to ${volumes - 1}): ${what}`,
    {
      hint: 'pick one with --volume N, counted from 0',
      data: { name, volumes, shape: [...shape] },
    },
  )
}

async function readHead(path: string): Promise<Uint8Array> {
  try {
    const file = await open(path, 'r')
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0)
      return buffer.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (error) {
    throw explainReadError(error, path)
  }
}

/** The header's file of a pair named by its .img; any other path is its own. */
async function headerOf(path: string): Promise<string> {
  const match = /\.img(\.gz)?$/i.exec(path)
  if (match === null) return path
  const stem = path.slice(0, match.index)
  return firstThatExists([`${stem}.hdr${match[1] ?? ''}`, `${stem}.hdr`, `${stem}.hdr.gz`])
}

async function imageOf(headerPath: string): Promise<string> {
  const match = /\.hdr(\.gz)?$/i.exec(headerPath)
  const stem = match === null ? headerPath : headerPath.slice(0, match.index)
  return firstThatExists([`${stem}.img${match?.[1] ?? ''}`, `${stem}.img`, `${stem}.img.gz`])
}

async function firstThatExists(paths: readonly [string, ...string[]]): Promise<string> {
  for (const path of paths) {
    try {
      await (await open(path, 'r')).close()
      return path
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw explainReadError(error, path)
    }
  }
  throw fileNotFound(paths[0], 'a .hdr and an .img file belong together')
}
