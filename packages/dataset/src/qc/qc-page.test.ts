import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inflateSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { prepareDataset } from '../prepare-dataset.js'
import { optionsFor, smallBrain, temporaryFolder, writeFolders, writeVolume } from '../small-brains.test-support.js'
import { casePicture } from './case-picture.js'
import { encodePalettePng } from './palette-png.js'

const volume = (voxels: Uint8Array, affine: number[]) => ({
  shape: [4, 3, 2] as const,
  affine,
  voxels,
  storedType: 'uint8',
  slope: 1,
  intercept: 0,
})
const LIA = [-1, 0, 0, 0, 0, 0, 1, 0, 0, -1, 0, 0, 0, 0, 0, 1]

test('a PNG holds its pixels row by row behind a filter byte', () => {
  const pixels = Uint8Array.of(0, 1, 1, 0, 1, 0)
  const palette = [
    [0, 0, 0],
    [9, 8, 7],
  ] as const
  const png = encodePalettePng({ width: 3, height: 2, pixels, palette })
  expect(png.subarray(0, 8).toString('hex')).toBe('89504e470d0a1a0a')
  const at = png.indexOf('IDAT')
  const data = png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4))
  expect([...inflateSync(data)]).toEqual([0, 0, 1, 1, 0, 0, 1, 0])
  expect(png.readUInt32BE(16)).toBe(3)
})

test('slices lie side by side, and their picture does not depend on how the volume is stored', () => {
  const image = Uint8Array.from({ length: 24 }, (_, index) => index * 10)
  const label = new Uint8Array(24)
  label[5] = 1
  const picture = casePicture(volume(image, LIA), volume(label, LIA))
  expect([picture.width, picture.height]).toEqual([4 + 4 + 2, 3])
  // The labelled voxel is (1, 1, 0): the first of two slices seen from the side has it in its outline colour.
  const outline = 249
  expect(picture.pixels[1 * 10 + 1]).toBe(outline)
  expect(picture.pixels[1 * 10 + 4 + 1]).toBe(outline)
  const flipped = (voxels: Uint8Array): Uint8Array => voxels.map((_, i) => voxels[3 - (i % 4) + 4 * Math.floor(i / 4)]!)
  const RIA = [1, 0, 0, -3, ...LIA.slice(4)]
  expect(casePicture(volume(flipped(image), RIA), volume(flipped(label), RIA)).pixels).toEqual(picture.pixels)
})

test('the page shows every case and finding, escapes what comes from files, and loads nothing', async () => {
  const source = await temporaryFolder()
  await writeFolders(source, ['a', 'b'])
  await writeVolume(
    join(source, 'labels/b.nii.gz'),
    smallBrain(1).label.map((value) => [0, 1, 1][value]!),
  )
  const out = join(await temporaryFolder(), 'out')
  await prepareDataset(optionsFor(source, out, { name: '<script>alert(1)</script>' }))
  const page = await readFile(join(out, 'qc.html'), 'utf8')
  expect(page.match(/<img /g)).toHaveLength(2)
  expect(page).toContain('LABEL_CLASS_MISSING')
  expect(page.indexOf('slices of b')).toBeLessThan(page.indexOf('slices of a'))
  expect(page).not.toContain('<script')
  expect(page).not.toMatch(/(src|href)="(?!data:)/)
})
