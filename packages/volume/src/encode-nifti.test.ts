import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sameGrid } from './affine.js'
import { encodeNifti } from './encode-nifti.js'
import { parseVolume } from './read-volume.js'
import type { Shape, VoxelArray } from './volume.js'

const TYPES = [Uint8Array, Int8Array, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array]
const shape = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 3 }))

/** A rotation by a unit quaternion, with voxel sizes, one axis perhaps mirrored, and a shift; rounded to float32 as a file has it. */
const rigid = fc
  .record({
    q: fc.tuple(...Array.from({ length: 4 }, () => fc.double({ min: -1, max: 1, noNaN: true }))),
    size: fc.tuple(...Array.from({ length: 3 }, () => fc.double({ min: 0.3, max: 4, noNaN: true }))),
    mirror: fc.boolean(),
    shift: fc.tuple(...Array.from({ length: 3 }, () => fc.double({ min: -200, max: 200, noNaN: true }))),
  })
  .filter(({ q }) => Math.hypot(...q) > 0.1)
  .map(({ q, size, mirror, shift }) => {
    const [a, b, c, d] = q.map((part) => part / Math.hypot(...q)) as [number, number, number, number]
    const r = [
      [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
      [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
      [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ]
    const rows = r.flatMap((row, i) => [
      ...row.map((v, j) => v * (size[j] ?? 1) * (mirror && j === 1 ? -1 : 1)),
      shift[i] ?? 0,
    ])
    return [...Float32Array.from(rows), 0, 0, 0, 1]
  })

const volumes = fc
  .tuple(shape, rigid, fc.constantFrom(...TYPES), fc.infiniteStream(fc.integer({ min: -200, max: 200 })))
  .map(([size, affine, Type, stream]) => {
    const values = [...stream.take(size[0] * size[1] * size[2])]
    return { shape: size as Shape, affine, voxels: new Type(values) as VoxelArray }
  })

describe('writing NIfTI', () => {
  test('a volume whose file did not say how it lies is written as one that does not', async () => {
    const placed = { shape: [2, 2, 2] as const, affine: [-3, 0, 0, 1.5, 0, 3, 0, -1.5, 0, 0, 3, -1.5, 0, 0, 0, 1] }
    const voxels = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
    const file = await encodeNifti({ ...placed, voxels, isUnplaced: true })
    const view = new DataView(file.buffer)
    expect([view.getInt16(252, true), view.getInt16(254, true)]).toEqual([0, 0])
    const read = parseVolume(file, 'a.nii', { kind: 'image' })
    expect(read).toMatchObject({ ...placed, isUnplaced: true })
    // The affine that MGH files without a place are read with is not what readers of NIfTI take.
    const mgh = { shape: [4, 5, 6] as const, affine: [-1, 0, 0, 2, 0, 0, 1, -3, 0, -1, 0, 2.5, 0, 0, 0, 1] }
    const told = await encodeNifti({ ...mgh, voxels: new Uint8Array(120), isUnplaced: true })
    expect(sameGrid(parseVolume(told, 'c.nii', { kind: 'image' }), mgh, 1e-6)).toBe(true)
    const other = parseVolume(await encodeNifti({ ...placed, voxels }), 'b.nii', { kind: 'image' })
    expect(other.isUnplaced).toBe(undefined)
  })
  test('what is written is read back: shape, affine, type and voxels', async () => {
    await fc.assert(
      fc.asyncProperty(volumes, fc.boolean(), async (volume, gzip) => {
        const read = parseVolume(await encodeNifti(volume, { gzip }), 'a.nii', { kind: 'image' })
        expect(read.shape).toEqual(volume.shape)
        expect(read.affine).toEqual(volume.affine)
        expect(read.voxels).toEqual(volume.voxels)
      }),
    )
  })
  test('the qform alone says the same as the sform', async () => {
    await fc.assert(
      fc.asyncProperty(volumes, async (volume) => {
        const file = await encodeNifti(volume)
        new DataView(file.buffer).setInt16(254, 0, true)
        const { affine } = parseVolume(file, 'a.nii', { kind: 'image' })
        // a = sqrt(1 - b^2 - c^2 - d^2) of float32 parts: near half turns the format itself is no better than 7e-4 of a voxel
        for (const [i, value] of volume.affine.entries()) expect(affine[i]).toBeCloseTo(value, 2)
      }),
    )
  })
  test('the qform of axes that are turned by quarters is exact', async () => {
    for (const affine of [
      [-1, 0, 0, 128, 0, 0, 1, -128, 0, -1, 0, 128, 0, 0, 0, 1],
      [-2, 0, 0, 9, 0, -2, 0, 8, 0, 0, 2, 7, 0, 0, 0, 1],
      [0, 0, -3, 9, 3, 0, 0, 8, 0, 3, 0, 7, 0, 0, 0, 1],
    ]) {
      const file = await encodeNifti({ shape: [1, 1, 1], affine, voxels: Uint8Array.of(1) })
      new DataView(file.buffer).setInt16(254, 0, true)
      const { affine: read } = parseVolume(file, 'a.nii', { kind: 'image' })
      for (const [i, value] of affine.entries()) expect(read[i]).toBeCloseTo(value, 6)
    }
  })
  test('a sheared affine has a sform and no qform', async () => {
    const affine = [1, 0.2, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    const view = new DataView((await encodeNifti({ shape: [1, 1, 1], affine, voxels: Uint8Array.of(1) })).buffer)
    expect([view.getInt16(252, true), view.getInt16(254, true)]).toEqual([0, 1])
  })
  test('the same volume gives the same bytes, and the gzip header has no name, no time and no system', async () => {
    const affine = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    const volume = { shape: [2, 2, 2] as const, affine, voxels: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) }
    const [a, b] = [await encodeNifti(volume, { gzip: true }), await encodeNifti(volume, { gzip: true })]
    expect(a).toEqual(b)
    expect([...a.subarray(0, 8), a[9]]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 255])
    expect(gunzipSync(a)).toHaveLength(360)
  })
  test('the description is the only free text, and at most 79 bytes of it', async () => {
    const affine = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    const volume = { shape: [1, 1, 1] as const, affine, voxels: Uint8Array.of(1) }
    const file = await encodeNifti(volume, { description: 'x'.repeat(200) })
    expect(Buffer.from(file.subarray(148, 230)).toString('latin1')).toBe(`${'x'.repeat(79)}\0\0\0`)
  })
  test('an axis longer than the format allows is refused', async () => {
    const volume = {
      shape: [32768, 1, 1] as const,
      affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1],
      voxels: new Uint8Array(32768),
    }
    await expect(encodeNifti(volume)).rejects.toMatchObject({ code: 'VOLUME_TOO_LARGE' })
  })
})
