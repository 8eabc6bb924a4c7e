import { inflateSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { planeLayouts } from './plane.js'
import { encodeGreyPng, encodeIndexedPng, type Rgba } from './png.js'
import { sliceImages } from './slice-images.js'

/** Reads back what our encoder writes: 8 bits, grey or palette, filters 0 and 1. Not its inverse by construction: by the standard. */
function decodePng(png: Uint8Array): { width: number; height: number; pixels: number[]; palette: number[][] } {
  const bytes = Buffer.from(png)
  expect([...bytes.subarray(0, 8)]).toEqual([137, 80, 78, 71, 13, 10, 26, 10])
  const chunks = new Map<string, Buffer>()
  for (let at = 8; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at)
    chunks.set(bytes.toString('latin1', at + 4, at + 8), bytes.subarray(at + 8, at + 8 + length))
    at += length + 12
  }
  expect([...chunks.keys()].at(-1)).toBe('IEND')
  const header = chunks.get('IHDR')!
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)]
  const rows = inflateSync(chunks.get('IDAT')!)
  const pixels: number[] = []
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (width + 1)]!
    for (let x = 0; x < width; x++) {
      const left = filter === 1 && x > 0 ? pixels[y * width + x - 1]! : 0
      pixels.push((rows[y * (width + 1) + 1 + x]! + left) & 255)
    }
  }
  const colours = chunks.get('PLTE') ?? Buffer.alloc(0)
  const alphas = chunks.get('tRNS') ?? Buffer.alloc(0)
  const palette = Array.from(alphas, (alpha, i) => [...colours.subarray(i * 3, i * 3 + 3), alpha])
  return { width, height, pixels, palette }
}

describe('a PNG', () => {
  test('decodes to the pixels it was made of', () => {
    const picture = fc.integer({ min: 1, max: 9 }).chain((width) =>
      fc.integer({ min: 1, max: 9 }).chain((height) =>
        fc.record({
          width: fc.constant(width),
          height: fc.constant(height),
          pixels: fc.uint8Array({ minLength: width * height, maxLength: width * height }),
        }),
      ),
    )
    const palette = Array.from({ length: 256 }, (_, i): Rgba => [i, 255 - i, 7, i])
    fc.assert(
      fc.property(picture, ({ width, height, pixels }) => {
        expect(decodePng(encodeGreyPng(width, height, pixels))).toMatchObject({ width, height, pixels: [...pixels] })
        const indexed = decodePng(encodeIndexedPng(width, height, pixels, palette))
        expect(indexed).toEqual({ width, height, pixels: [...pixels], palette: palette.map((colour) => [...colour]) })
      }),
    )
  })

  test('of the wrong size is refused', () => {
    expect(() => encodeGreyPng(2, 2, new Uint8Array(3))).toThrow(RangeError)
  })
})

/** A 3 x 3 x 3 volume of 10 mm voxels whose axes point to `axes`; its voxels hold what `at` says of (right, anterior, superior) 0..2. */
function volumeOf(
  axes: string,
  at: (ras: [number, number, number]) => number,
): { voxels: Uint8Array; affine: number[] } {
  const affine = new Array<number>(16).fill(0)
  affine[15] = 1
  const index = [...axes].map((letter) => ({
    ras: 'RAS'.includes(letter) ? 'RAS'.indexOf(letter) : 'LPI'.indexOf(letter),
    up: 'RAS'.includes(letter),
  }))
  index.forEach(({ ras, up }, axis) => {
    affine[ras * 4 + axis] = up ? 10 : -10
  })
  const voxels = new Uint8Array(27)
  for (let i = 0; i < 27; i++) {
    const voxel = [i % 3, Math.floor(i / 3) % 3, Math.floor(i / 9)]
    const ras: [number, number, number] = [0, 0, 0]
    index.forEach((one, axis) => {
      ras[one.ras] = one.up ? voxel[axis]! : 2 - voxel[axis]!
    })
    voxels[i] = at(ras)
  }
  return { voxels, affine }
}

describe('slices', () => {
  const lit = (ras: [number, number, number]): number => (ras.join() === '2,2,1' ? 255 : 0) // right, anterior
  const label = (ras: [number, number, number]): number => (ras.join() === '1,1,1' ? 1 : 0)
  const cut = (axes: string, convention?: 'radiological' | 'neurological') => {
    const { voxels: image, affine } = volumeOf(axes, lit)
    const truth = volumeOf(axes, label).voxels
    return sliceImages({ subject: 's', image, truth, prediction: truth, shape: [3, 3, 3], affine, convention })
  }

  test.each(['RAS', 'LIA', 'PSR', 'LPS', 'ASL', 'IRP'])(
    'of a %s volume show right and anterior at the top left in the radiological convention, at the top right in the neurological',
    (axes) => {
      const axial = cut(axes).planes[0]!
      expect(axial.edges).toEqual({ left: 'R', right: 'L', top: 'A', bottom: 'P' })
      expect(decodePng(axial.image).pixels).toEqual([255, 0, 0, 0, 0, 0, 0, 0, 0])
      const neurological = cut(axes, 'neurological').planes[0]!
      expect(neurological.edges.left).toBe('L')
      expect(decodePng(neurological.image).pixels).toEqual([0, 0, 255, 0, 0, 0, 0, 0, 0])
    },
  )

  test('stand upright: superior at the top of coronal and sagittal, anterior at the left of sagittal', () => {
    const { planes } = cut('LIA')
    expect(planes.map((plane) => plane.plane)).toEqual(['axial', 'coronal', 'sagittal'])
    expect(planes[1]?.edges).toEqual({ left: 'R', right: 'L', top: 'S', bottom: 'I' })
    expect(planes[2]?.edges).toEqual({ left: 'A', right: 'P', top: 'S', bottom: 'I' })
  })

  test('go through the centre of mass of the truth and are cropped to the labels and 10 mm', () => {
    const shape = [40, 30, 20] as const
    const truth = new Uint8Array(40 * 30 * 20)
    truth[10 + 40 * (12 + 30 * 8)] = 1
    truth[12 + 40 * (12 + 30 * 8)] = 2
    const affine = [2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 5, 0, 0, 0, 0, 1]
    const [axial, coronal, sagittal] = sliceImages({
      subject: 's',
      image: new Float32Array(truth.length),
      truth,
      prediction: new Uint8Array(truth.length),
      shape,
      affine,
    }).planes
    expect([axial?.slice, coronal?.slice, sagittal?.slice]).toEqual([8, 12, 11])
    expect(axial).toMatchObject({
      width: 3 + 10,
      height: 1 + 10,
      widthMm: 26,
      heightMm: 22,
      wrongPixels: 2,
      labelPixels: 2,
    })
    expect(coronal).toMatchObject({ width: 13, height: 1 + 4, heightMm: 25 })
  })

  test('colour what is missed, extra and mixed up apart', () => {
    const side = 3
    const truth = Uint8Array.of(1, 0, 1, 0, 1, 0, 0, 0, 0)
    const prediction = Uint8Array.of(0, 1, 2, 0, 1, 0, 0, 0, 0)
    const affine = [-1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] // LPS: pixels in the order of the voxels
    const axial = sliceImages({ subject: 's', image: truth, truth, prediction, shape: [side, side, 1], affine })
      .planes[0]!
    expect(decodePng(axial.error).pixels).toEqual([1, 2, 3, 0, 0, 0, 0, 0, 0])
    expect([axial.wrongPixels, axial.labelPixels]).toEqual([3, 4])
  })

  test('of an empty label show the middle, and of an image with NaN, infinity or one value something finite', () => {
    const affine = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    const none = new Uint8Array(27)
    const image = Float32Array.from({ length: 27 }, (_, i) => [Number.NaN, Number.POSITIVE_INFINITY, 4][i % 3]!)
    const { planes } = sliceImages({ subject: 's', image, truth: none, prediction: none, shape: [3, 3, 3], affine })
    expect(planes.map((plane) => plane.slice)).toEqual([1, 1, 1])
  })

  test('of volumes on different grids are refused', () => {
    const affine = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    const [a, b] = [new Uint8Array(8), new Uint8Array(9)]
    expect(() => sliceImages({ subject: 's', image: a, truth: a, prediction: b, shape: [2, 2, 2], affine })).toThrow(
      /9 voxels/,
    )
  })

  test('need an orientation with one letter of each pair', () => {
    for (const bad of ['', 'LI', 'LRA', 'XYZ', 'LIAA'])
      expect(() => planeLayouts(bad, 'radiological')).toThrow(RangeError)
  })
})
