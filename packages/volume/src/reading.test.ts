import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { MeshflError } from '@meshfl/core'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BYTES_PER_VOXEL, MGH_TYPES, NIFTI_TYPES, type StoredType } from './datatype.js'
import { parseVolume, type ReadOptions, readGeometry, readVolume } from './read-volume.js'

interface Recipe {
  version?: 1 | 2
  little?: boolean
  code?: number
  dims?: number[]
  values?: readonly (number | bigint)[]
  slope?: number
  intercept?: number
  offset?: number
  pair?: boolean
  rows?: number[]
}

function setValue(view: DataView, at: number, type: StoredType, value: number | bigint, little: boolean): void {
  const n = Number(value)
  if (type === 'uint8') view.setUint8(at, n)
  else if (type === 'int8') view.setInt8(at, n)
  else if (type === 'int16') view.setInt16(at, n, little)
  else if (type === 'uint16') view.setUint16(at, n, little)
  else if (type === 'int32') view.setInt32(at, n, little)
  else if (type === 'uint32') view.setUint32(at, n, little)
  else if (type === 'float32') view.setFloat32(at, n, little)
  else if (type === 'float64') view.setFloat64(at, n, little)
  else if (type === 'int64') view.setBigInt64(at, BigInt(value), little)
  else view.setBigUint64(at, BigInt(value), little)
}

/** A NIfTI file written field by field after the standard, independently of the encoder. */
function nifti(recipe: Recipe = {}): Uint8Array {
  const {
    version = 1,
    little = true,
    code = 4,
    dims = [3, 2, 2],
    values,
    slope = 0,
    intercept = 0,
    pair = false,
  } = recipe
  const type = NIFTI_TYPES.get(code) ?? 'uint8'
  const data = values ?? Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => i)
  const offset = recipe.offset ?? (pair ? 0 : version === 1 ? 352 : 544)
  const rows = recipe.rows ?? [2, 0, 0, -10, 0, 3, 0, -20, 0, 0, 4, -30]
  const width = BYTES_PER_VOXEL[type]
  const bytes = new Uint8Array(pair ? (version === 1 ? 348 : 540) : offset + data.length * width)
  const view = new DataView(bytes.buffer)
  const magic =
    version === 1 ? [0x6e, pair ? 0x69 : 0x2b, 0x31, 0] : [0x6e, pair ? 0x69 : 0x2b, 0x32, 0, 13, 10, 26, 10]
  if (version === 1) {
    view.setInt32(0, 348, little)
    for (const [i, n] of [dims.length, ...dims].entries()) view.setInt16(40 + 2 * i, n, little)
    view.setInt16(70, code, little)
    view.setInt16(72, width * 8, little)
    view.setFloat32(108, offset, little)
    view.setFloat32(112, slope, little)
    view.setFloat32(116, intercept, little)
    view.setInt16(254, 1, little)
    for (const [i, n] of rows.entries()) view.setFloat32(280 + 4 * i, n, little)
    bytes.set(magic, 344)
  } else {
    view.setInt32(0, 540, little)
    bytes.set(magic, 4)
    view.setInt16(12, code, little)
    view.setInt16(14, width * 8, little)
    for (const [i, n] of [dims.length, ...dims].entries()) view.setBigInt64(16 + 8 * i, BigInt(n), little)
    view.setBigInt64(168, BigInt(offset), little)
    view.setFloat64(176, slope, little)
    view.setFloat64(184, intercept, little)
    view.setInt32(348, 1, little)
    for (const [i, n] of rows.entries()) view.setFloat64(400 + 8 * i, n, little)
  }
  if (!pair) for (const [i, value] of data.entries()) setValue(view, offset + i * width, type, value, little)
  return bytes
}

function mgh(code: number, shape: readonly number[], values: readonly number[]): Uint8Array {
  const type = MGH_TYPES.get(code) ?? 'uint8'
  const bytes = new Uint8Array(284 + values.length * BYTES_PER_VOXEL[type])
  const view = new DataView(bytes.buffer)
  for (const [i, n] of [1, ...shape, 1, code].entries()) view.setInt32(4 * i, n)
  for (const [i, n] of values.entries()) setValue(view, 284 + i * BYTES_PER_VOXEL[type], type, n, false)
  return bytes
}

const image: ReadOptions = { kind: 'image' }
const label: ReadOptions = { kind: 'label' }

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof MeshflError) return error.code
    throw error
  }
  return 'none'
}

const EXTREMES: Record<StoredType, (number | bigint)[]> = {
  uint8: [0, 1, 254, 255],
  int8: [-128, -1, 0, 127],
  int16: [-32768, -1, 1, 32767],
  uint16: [0, 1, 256, 65535],
  int32: [-2147483648, -1, 65537, 2147483647],
  uint32: [0, 1, 65537, 4294967295],
  int64: [-(2n ** 53n), -1n, 4294967297n, 2n ** 53n],
  uint64: [0n, 1n, 4294967297n, 2n ** 53n],
  float32: [-1.5, 0, 0.25, 16777216],
  float64: [-1.5, 1e-300, 0.1, 1e300],
}

describe('every type, both byte orders, both versions', () => {
  for (const [code, type] of NIFTI_TYPES)
    for (const version of [1, 2] as const)
      for (const little of [true, false])
        test(`NIfTI-${version} ${little ? 'little' : 'big'}-endian ${type}`, () => {
          const values = EXTREMES[type]
          // an odd offset leaves the voxels unaligned
          for (const offset of [undefined, 561]) {
            const recipe = {
              version,
              little,
              code,
              dims: [2, 2, 1],
              values,
              ...(offset === undefined ? {} : { offset }),
            }
            const volume = parseVolume(nifti(recipe), 'a.nii', image)
            expect([...volume.voxels]).toEqual(values.map(Number))
            expect(volume.storedType).toBe(type)
            expect(volume.affine).toEqual([2, 0, 0, -10, 0, 3, 0, -20, 0, 0, 4, -30, 0, 0, 0, 1])
          }
        })
  for (const [code, type] of MGH_TYPES)
    test(`MGH ${type}`, () => {
      const values = EXTREMES[type].map(Number)
      const volume = parseVolume(mgh(code, [1, 2, 2], values), 'a.mgh', image)
      expect([...volume.voxels]).toEqual(values)
      // without its "good RAS" flag a file has FreeSurfer's default: coronal slices, 1 mm, centred
      expect(volume.affine).toEqual([-1, 0, 0, 0.5, 0, 0, 1, -1, 0, -1, 0, 1, 0, 0, 0, 1])
    })
})

describe('voxels', () => {
  test('an image has its scaling applied', () => {
    const volume = parseVolume(nifti({ slope: 0.5, intercept: -3 }), 'a.nii', image)
    expect(volume.voxels).toBeInstanceOf(Float32Array)
    expect([...volume.voxels.slice(0, 4)]).toEqual([-3, -2.5, -2, -1.5])
    expect([volume.slope, volume.intercept]).toEqual([0.5, -3])
  })
  test('a slope of 0 or NaN is no scaling', () => {
    for (const slope of [0, Number.NaN, Number.POSITIVE_INFINITY]) {
      const volume = parseVolume(nifti({ slope, intercept: 5 }), 'a.nii', image)
      expect([volume.slope, volume.intercept, volume.voxels[1]]).toEqual([1, 0, 1])
    }
  })
  test('uint8 voxels without scaling are a view of the file', () => {
    const bytes = nifti({ code: 2 })
    expect(parseVolume(bytes, 'a.nii', image).voxels.buffer).toBe(bytes.buffer)
  })
  test('a 4D file with one volume is that volume; with more, one is picked by number', () => {
    expect(parseVolume(nifti({ dims: [2, 2, 2, 1] }), 'a.nii', image).shape).toEqual([2, 2, 2])
    const bytes = nifti({ dims: [2, 2, 2, 3] })
    expect(() => parseVolume(bytes, 'a.nii', image)).toThrow('a.nii holds 3 volumes of 2 x 2 x 2')
    expect(codeOf(() => parseVolume(bytes, 'a.nii', { ...image, volume: 3 }))).toBe('VOLUME_NOT_3D')
    expect([...parseVolume(bytes, 'a.nii', { ...image, volume: 2 }).voxels]).toEqual([16, 17, 18, 19, 20, 21, 22, 23])
  })
  test('NaN and infinity are refused, or read as 0 and counted', () => {
    const values = [1, Number.NaN, Number.POSITIVE_INFINITY, 2]
    const bytes = nifti({ code: 16, dims: [2, 2, 1], values })
    expect(codeOf(() => parseVolume(bytes, 'a.nii', image))).toBe('VOLUME_NOT_FINITE')
    const volume = parseVolume(bytes, 'a.nii', { ...image, nanToZero: true })
    expect([...volume.voxels]).toEqual([1, 0, 0, 2])
    expect(volume.zeroed).toBe(2)
  })
  test('a singular affine is refused', () => {
    for (const rows of [
      new Array(12).fill(0),
      [1, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0],
      [Number.NaN, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
    ])
      expect(codeOf(() => parseVolume(nifti({ rows }), 'a.nii', image))).toBe('VOLUME_AFFINE_SINGULAR')
  })
  test('several gzip members are one file', () => {
    const bytes = nifti()
    const parts = [bytes.subarray(0, 100), bytes.subarray(100, 353), bytes.subarray(353)]
    const file = Buffer.concat(parts.map((part) => gzipSync(part)))
    expect([...parseVolume(file, 'a.nii.gz', image).voxels]).toEqual([...parseVolume(bytes, 'a.nii', image).voxels])
  })
})

describe('labels', () => {
  const read = (code: number, values: number[], slope = 0) =>
    parseVolume(nifti({ code, dims: [values.length, 1, 1], values, slope }), 'a.nii', label).voxels
  test('floats that are whole numbers become the smallest integer type that holds them', () => {
    expect(read(16, [0, 2, 255])).toEqual(Uint8Array.of(0, 2, 255))
    expect(read(64, [0, 2035])).toEqual(Uint16Array.of(0, 2035))
    expect(read(16, [0, 70000])).toEqual(Uint32Array.of(0, 70000))
    expect(read(16, [-1, 127])).toEqual(Int8Array.of(-1, 127))
    expect(read(16, [-1, 128])).toEqual(Int16Array.of(-1, 128))
    expect(read(64, [-1, 40000])).toEqual(Int32Array.of(-1, 40000))
  })
  test('64-bit integers become the smallest type too; other integers keep theirs', () => {
    expect(read(1024, [0, 77])).toEqual(Uint8Array.of(0, 77))
    expect(read(8, [0, 77])).toEqual(Int32Array.of(0, 77))
  })
  test('a scaling is applied, and must leave whole numbers', () => {
    expect(read(2, [0, 1, 2], 3)).toEqual(Uint8Array.of(0, 3, 6))
    expect(codeOf(() => read(2, [0, 1, 2], 0.3))).toBe('LABEL_NOT_INTEGER')
  })
  test('fractions and numbers beyond 32 bits are refused', () => {
    expect(codeOf(() => read(16, [0, 0.5, 1]))).toBe('LABEL_NOT_INTEGER')
    expect(codeOf(() => read(64, [0, 1e12]))).toBe('LABEL_NOT_INTEGER')
  })
})

describe('damage', () => {
  const plain = nifti({ version: 1 })
  test('a file cut at any length is refused as truncated, or as no volume where nothing of it is left', () => {
    for (const bytes of [plain, nifti({ version: 2, little: false }), mgh(3, [2, 2, 2], [0, 1, 2, 3, 4, 5, 6, 7])])
      for (let length = 0; length < bytes.length; length++) {
        const code = codeOf(() => parseVolume(bytes.slice(0, length), 'cut', image))
        expect(code).toBe(length < 4 ? 'VOLUME_NOT_RECOGNIZED' : 'VOLUME_TRUNCATED')
      }
  })
  test('a gzipped file cut at any length is refused', () => {
    const bytes = gzipSync(plain)
    for (let length = 0; length < bytes.length; length++) {
      const code = codeOf(() => parseVolume(bytes.subarray(0, length), 'cut', image))
      expect(['VOLUME_TRUNCATED', 'VOLUME_NOT_RECOGNIZED']).toContain(code)
      if (length > 40) expect(code).toBe('VOLUME_TRUNCATED')
    }
  })
  test('a changed CRC is refused', () => {
    const bytes = gzipSync(plain)
    const at = bytes.length - 8
    bytes[at] = (bytes[at] ?? 0) ^ 1
    expect(codeOf(() => parseVolume(bytes, 'a.nii.gz', image))).toBe('VOLUME_BAD_CRC')
  })
  test('a header that claims more than the file holds is refused before anything is allocated', () => {
    const before = process.memoryUsage()
    const claims = [
      nifti({ dims: [32767, 32767, 32767], values: [0, 1, 2] }),
      nifti({ version: 2, dims: [2 ** 20, 2 ** 20, 2 ** 10], values: [0] }),
      mgh(1, [2 ** 30, 2 ** 10, 2], [0]),
      mgh(1, [4000, 4000, 60], [0]),
    ]
    for (const bytes of claims)
      for (const file of [bytes, gzipSync(bytes)]) {
        const code = codeOf(() => parseVolume(file, 'claim', image))
        expect(['VOLUME_TRUNCATED', 'VOLUME_TOO_LARGE', 'VOLUME_NOT_RECOGNIZED']).toContain(code)
      }
    const after = process.memoryUsage()
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(2 ** 25)
  })
  test('a small file that inflates to far more than its header says is refused', () => {
    const bomb = gzipSync(Buffer.concat([plain, Buffer.alloc(40 * 2 ** 20)]))
    expect(codeOf(() => parseVolume(bomb, 'bomb.nii.gz', image))).toBe('VOLUME_NOT_RECOGNIZED')
  })
  test('whatever the bytes, the answer is a volume or an error with a code', () => {
    const files = [plain, nifti({ version: 2 }), nifti({ pair: true }), mgh(4, [2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8])]
    const mutated = fc
      .tuple(
        fc.nat(files.length - 1),
        fc.boolean(),
        fc.array(fc.tuple(fc.nat(700), fc.nat(255)), { maxLength: 12 }),
        fc.boolean(),
      )
      .map(([which, before, changes, gz]) => {
        const change = (bytes: Uint8Array): Uint8Array => {
          for (const [at, value] of changes) bytes[at % bytes.length] = value
          return bytes
        }
        const bytes = new Uint8Array(files[which] ?? plain)
        if (!gz) return change(bytes)
        return before ? gzipSync(change(bytes)) : change(new Uint8Array(gzipSync(bytes)))
      })
    fc.assert(
      fc.property(
        fc.oneof(mutated, fc.uint8Array({ maxLength: 900 })),
        fc.uint8Array({ maxLength: 64 }),
        (bytes, extra) => {
          codeOf(() => parseVolume(bytes, 'fuzz', image, extra))
          codeOf(() => parseVolume(bytes, 'fuzz', { ...label, volume: 0, nanToZero: true }))
        },
      ),
      { numRuns: 3000, seed: 7 },
    )
  })
})

test('a gzipped file of more than 4 GiB is too large in every version of Node, whose zlib counts in 32 bits', () => {
  const header = nifti({ code: 16 })
  const dims = new DataView(header.buffer, header.byteOffset + 40)
  for (const [i, size] of [4, 256, 256, 256, 80].entries()) dims.setInt16(i * 2, size, true)
  expect(codeOf(() => parseVolume(gzipSync(header), 'functional.nii.gz', image))).toBe('VOLUME_TOO_LARGE')
})

describe('files on disk', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'meshfl-volume-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  test('a pair is read by either name, gzipped or not', async () => {
    const values = Uint8Array.from({ length: 12 }, (_, i) => i)
    const header = nifti({ pair: true, code: 2 })
    await writeFile(join(folder, 'a.hdr'), header)
    await writeFile(join(folder, 'a.img'), values)
    await writeFile(join(folder, 'b.hdr.gz'), gzipSync(header))
    await writeFile(join(folder, 'b.img.gz'), gzipSync(values))
    await writeFile(join(folder, 'c.hdr'), header)
    await writeFile(join(folder, 'c.img.gz'), gzipSync(values))
    for (const name of ['a.hdr', 'a.img', 'b.hdr.gz', 'b.img.gz', 'c.hdr', 'c.img.gz']) {
      expect((await readVolume(join(folder, name), image)).voxels).toEqual(values)
      expect(await readGeometry(join(folder, name))).toMatchObject({ shape: [3, 2, 2], volumes: 1 })
    }
  })
  test('the voxels of a pair must be there, and whole', async () => {
    await writeFile(join(folder, 'd.hdr'), nifti({ pair: true, code: 2 }))
    await expect(readVolume(join(folder, 'd.hdr'), image)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
    await writeFile(join(folder, 'd.img'), new Uint8Array(11))
    await expect(readVolume(join(folder, 'd.hdr'), image)).rejects.toMatchObject({ code: 'VOLUME_TRUNCATED' })
  })
  test('the error names the file', async () => {
    const path = join(folder, 'none.nii.gz')
    await expect(readVolume(path, image)).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: expect.stringContaining(path),
    })
    await expect(readGeometry(path)).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
      message: expect.stringContaining(path),
    })
    await writeFile(path, gzipSync('not a volume'))
    await expect(readVolume(path, image)).rejects.toMatchObject({
      code: 'VOLUME_NOT_RECOGNIZED',
      message: expect.stringContaining(path),
    })
  })
  test.skipIf(process.platform === 'win32')(
    'a link to what is not there is told from a file that is not there',
    async () => {
      const path = join(folder, 'annexed.nii.gz')
      await symlink('.git/annex/objects/nowhere', path)
      const expected = {
        code: 'FILE_NOT_FOUND',
        message: `${path} is a link to a file that is not there`,
        hint: expect.stringContaining('datalad get'),
      }
      await expect(readVolume(path, image)).rejects.toMatchObject(expected)
      await expect(readGeometry(path)).rejects.toMatchObject(expected)
    },
  )
  test('the geometry is read from a gzipped file whose voxels are missing', async () => {
    const bytes = gzipSync(nifti({ dims: [40, 40, 40, 2] }), { level: 1 })
    const path = join(folder, 'head.nii.gz')
    await writeFile(path, bytes.subarray(0, 5000))
    expect(await readGeometry(path)).toMatchObject({ shape: [40, 40, 40], volumes: 2 })
  })
})
