import { readFile, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { encodeNifti, unplacedAffine, voxelSize } from '@meshfl/volume'
import { describe, expect, test } from 'vitest'
import { openDataset } from './open-dataset.js'
import { prepareDataset } from './prepare-dataset.js'
import {
  hashTree,
  optionsFor,
  SMALL_AFFINE,
  SMALL_SHAPE,
  smallBrain,
  sourceOf,
  temporaryFolder,
  writeVolume,
} from './small-brains.test-support.js'

describe('a case in error', () => {
  const damage: [string, string, (source: string) => Promise<void>][] = [
    ['a gzip file that is cut short', 'VOLUME_TRUNCATED', (source) => truncate(join(source, 'images/b.nii.gz'), 400)],
    ['no volume at all', 'VOLUME_NOT_RECOGNIZED', (source) => writeFile(join(source, 'labels/b.nii.gz'), 'not a scan')],
    [
      'the same affine with another shape',
      'LABEL_GRID_MISMATCH',
      (source) =>
        writeVolume(join(source, 'labels/b.nii.gz'), smallBrain(1, [20, 22, 20]).label, { shape: [20, 22, 20] }),
    ],
    [
      'a label in another place',
      'LABEL_GRID_MISMATCH',
      (source) =>
        writeVolume(join(source, 'labels/b.nii.gz'), smallBrain(1).label, {
          affine: SMALL_AFFINE.map((value, index) => (index === 3 ? value + 500 : value)),
        }),
    ],
    [
      'white and grey swapped',
      'LABEL_CLASSES_SWAPPED',
      (source) =>
        writeVolume(
          join(source, 'labels/b.nii.gz'),
          smallBrain(1).label.map((value) => [0, 2, 1][value]!),
        ),
    ],
    [
      'tissues numbered grey 1, white 2, CSF 3, which read as FreeSurfer would make CSF grey matter',
      'LABEL_MAP_MISMATCH',
      async (source) => {
        const { image, label } = smallBrain(1)
        const tissues = label.map((value, i) => [image[i]! > 250 ? 3 : 0, 2, 1][value]!)
        for (let i = 0; i < tissues.length; i++) if (tissues[i] === 3) image[i] = 100
        await writeVolume(join(source, 'images/b.nii.gz'), image)
        await writeVolume(join(source, 'labels/b.nii.gz'), tissues)
      },
    ],
    [
      'an empty label',
      'LABEL_EMPTY',
      (source) => writeVolume(join(source, 'labels/b.nii.gz'), smallBrain(1).label.fill(0)),
    ],
    [
      'a head larger than the grid',
      'LABEL_CROPPED',
      async (source) => {
        const { image, label } = smallBrain(1)
        const affine = SMALL_AFFINE.map((value, index) => (index % 4 === 3 ? value : 1.5 * value))
        await writeVolume(join(source, 'images/b.nii.gz'), image, { affine })
        await writeVolume(join(source, 'labels/b.nii.gz'), label, { affine })
      },
    ],
    [
      'a constant image',
      'IMAGE_CONSTANT',
      (source) => writeVolume(join(source, 'images/b.nii.gz'), smallBrain(1).image.fill(7)),
    ],
    [
      'an image of which one voxel is so bright that all others become 0',
      'IMAGE_CONSTANT',
      (source) => {
        const image = Float32Array.from(smallBrain(1).image, (value) => value / 100)
        image[5] = 1e9
        return writeVolume(join(source, 'images/b.nii.gz'), image)
      },
    ],
    [
      'an image in place of the label',
      'LABEL_NOT_INTEGER',
      (source) =>
        writeVolume(
          join(source, 'labels/b.nii.gz'),
          Float32Array.from(smallBrain(1).image, (v) => v / 7),
        ),
    ],
  ]

  test.each(damage)('(%s) is left out with %s, and the rest goes on', async (_, code, harm) => {
    const source = await sourceOf(['a', 'b', 'c'])
    await harm(source)
    const out = join(await temporaryFolder(), 'out')
    const { manifest, leftOut } = await prepareDataset(optionsFor(source, out))
    expect(leftOut).toMatchObject([{ subject: 'b', code }])
    expect(leftOut[0]!.message).not.toContain(source)
    expect(manifest.cases.map(({ subject }) => subject)).toEqual(['a', 'c'])
    expect(manifest.findings).toContainEqual({ level: 'error', code, subject: 'b', message: leftOut[0]!.message })
    expect((await openDataset(out)).cases()).toHaveLength(2)
  })

  test('is none where the grid cuts off a little of a label: that is a finding', async () => {
    const source = await sourceOf(['a', 'b'])
    const { image, label } = smallBrain(1)
    // At the edge of the field of view, which the grid of 160 mm does not reach.
    label.fill(1, 0, 20)
    label.fill(2, 20, 30)
    await writeVolume(join(source, 'images/b.nii.gz'), image)
    await writeVolume(join(source, 'labels/b.nii.gz'), label)
    const { manifest, leftOut } = await prepareDataset(optionsFor(source, join(await temporaryFolder(), 'out')))
    expect(leftOut).toEqual([])
    const labelled = label.filter((value) => value > 0).length
    expect(manifest.findings).toContainEqual({
      level: 'warning',
      code: 'LABEL_CROPPED',
      subject: 'b',
      message: `${(3000 / labelled).toFixed(1)} % of labels/b.nii.gz lies outside of the grid of 16 x 16 x 16 voxels of 10 x 10 x 10 mm`,
    })
  })

  test('is none where an image does not say how it lies: that is a finding', async () => {
    const source = await sourceOf(['a', 'b'])
    const { image, label } = smallBrain(1)
    for (const [part, voxels] of [
      ['images', image],
      ['labels', label],
    ] as const) {
      const affine = unplacedAffine(SMALL_SHAPE, voxelSize(SMALL_AFFINE))
      const volume = { shape: SMALL_SHAPE, affine, voxels, isUnplaced: true as const }
      await writeFile(join(source, part, 'b.nii.gz'), await encodeNifti(volume, { gzip: true }))
    }
    const { manifest, leftOut } = await prepareDataset(optionsFor(source, join(await temporaryFolder(), 'out')))
    expect(leftOut).toEqual([])
    const found = manifest.findings.filter(({ code }) => code === 'IMAGE_UNPLACED')
    expect(found).toMatchObject([{ level: 'warning', subject: 'b' }])
  })

  test('is one whose codes are no classes, for the map that takes each code for a class', async () => {
    const source = await sourceOf(['a', 'b'])
    const label = Int16Array.from(smallBrain(1).label, (value) => (value === 2 ? 207 : value))
    await writeVolume(join(source, 'labels/b.nii.gz'), label)
    const options = { ...optionsFor(source, join(await temporaryFolder(), 'out')), labelMap: 'identity' }
    const { leftOut } = await prepareDataset(options)
    expect(leftOut).toMatchObject([
      { subject: 'b', code: 'LABEL_MAP_MISMATCH', message: expect.stringContaining('207') },
    ])
  })

  test('shows both grids when they cannot be brought together', async () => {
    const source = await sourceOf(['a', 'b'])
    await writeVolume(join(source, 'labels/b.nii.gz'), smallBrain(1, [20, 22, 20]).label, { shape: [20, 22, 20] })
    const { leftOut } = await prepareDataset(optionsFor(source, join(await temporaryFolder(), 'out')))
    expect(leftOut[0]!.message).toContain('20x22x20')
    expect(leftOut[0]!.message).toContain('20x22x24')
    expect(leftOut[0]!.message).toContain('8 0 0 -75')
  })

  test.skipIf(process.platform === 'win32')(
    'whose names of label values are a link to nothing is left out, and the rest goes on',
    async () => {
      const source = await temporaryFolder()
      for (const [seed, subject] of ['sub-1', 'sub-2'].entries()) {
        const { image, label } = smallBrain(seed)
        await writeVolume(join(source, subject, 'anat', `${subject}_T1w.nii.gz`), image)
        await writeVolume(join(source, 'derivatives/seg', subject, 'anat', `${subject}_dseg.nii.gz`), label)
      }
      // As in a DataLad data set whose files were not fetched.
      await symlink('nowhere', join(source, 'derivatives/seg/sub-2/anat/sub-2_dseg.tsv'))
      const { leftOut } = await prepareDataset(optionsFor(source, join(await temporaryFolder(), 'out')))
      expect(leftOut).toMatchObject([{ subject: 'sub-2', code: 'FILE_NOT_FOUND' }])
      expect(leftOut[0]!.message).not.toContain(source)
    },
  )

  test.skipIf(process.platform === 'win32')('of a table that names a device is left out unread', async () => {
    const source = await sourceOf(['a', 'b'])
    const rows = ['subject,image,label', 'a,images/a.nii.gz,labels/a.nii.gz', 'b,/dev/null,labels/b.nii.gz']
    await writeFile(join(source, 'list.csv'), rows.join('\n'))
    for (const dryRun of [true, false]) {
      const options = optionsFor(join(source, 'list.csv'), join(await temporaryFolder(), 'out'), { dryRun })
      const { leftOut } = await prepareDataset(options)
      expect(leftOut).toMatchObject([
        { subject: 'b', code: 'FILE_NOT_READABLE', message: expect.stringContaining('null is a pipe') },
      ])
    }
  })

  test('of a table, whose .img is missing, is named without the folders of this machine', async () => {
    const source = await sourceOf(['a', 'b'])
    const header = gunzipSync(await readFile(join(source, 'images/b.nii.gz'))).subarray(0, 348)
    header.write('ni1\0', 344, 'latin1')
    await writeFile(join(source, 'images/b.hdr'), header)
    const rows = ['subject,image,label', 'a,images/a.nii.gz,labels/a.nii.gz', 'b,images/b.hdr,labels/b.nii.gz']
    await writeFile(join(source, 'list.csv'), rows.join('\n'))
    const out = join(await temporaryFolder(), 'out')
    const { leftOut } = await prepareDataset(optionsFor(join(source, 'list.csv'), out))
    expect(leftOut).toMatchObject([
      { code: 'FILE_NOT_FOUND', message: 'there is no file b.img: a .hdr and an .img file belong together' },
    ])
    expect(await readFile(join(out, 'dataset.json'), 'utf8')).not.toContain(source)
  })

  test('that is the only one ends the run, and nothing is published', async () => {
    const source = await sourceOf(['a'])
    await truncate(join(source, 'images/a.nii.gz'), 100)
    const out = join(await temporaryFolder(), 'out')
    await expect(prepareDataset(optionsFor(source, out))).rejects.toMatchObject({
      code: 'DATASET_NO_CASES',
      exitCode: 3,
    })
    await expect(openDataset(out)).rejects.toMatchObject({ code: 'DATASET_NOT_FOUND' })
  })

  test('holds its place: mending it moves nobody to another split or site', async () => {
    const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l']
    const source = await sourceOf(ids)
    const whole = await readFile(join(source, 'images/c.nii.gz'))
    await truncate(join(source, 'images/c.nii.gz'), 400)
    const out = join(await temporaryFolder(), 'out')
    const places = async (): Promise<string[]> => {
      const { manifest } = await prepareDataset(optionsFor(source, out, { sites: 2 }))
      return manifest.cases.map(({ subject, split, site }) => `${subject} ${split} ${site}`)
    }
    const before = await places()
    await writeFile(join(source, 'images/c.nii.gz'), whole)
    const after = await places()
    expect(before).toHaveLength(11)
    expect(after.filter((line) => !line.startsWith('c '))).toEqual(before)
  })

  test('holds its place, too, where its files could not even be paired', async () => {
    const source = await sourceOf(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l'])
    const folder = await temporaryFolder()
    const places = async (out: string): Promise<string[]> => {
      const { manifest } = await prepareDataset(optionsFor(source, join(folder, out), { sites: 2 }))
      return manifest.cases.map(({ subject, split, site }) => `${subject} ${split} ${site}`)
    }
    const whole = await places('whole')
    await writeFile(join(source, 'images/c.nii'), 'a second c')
    expect(await places('less')).toEqual(whole.filter((line) => !line.startsWith('c ')))
  })

  test('whose split has no other subject leaves that split empty, and the finding says why', async () => {
    const source = await sourceOf(['a', 'b', 'c', 'd'])
    const folder = await temporaryFolder()
    const whole = await prepareDataset(optionsFor(source, join(folder, 'whole')))
    const [tested] = whole.manifest.cases.filter(({ split }) => split === 'test')
    await truncate(join(source, `images/${tested!.subject}.nii.gz`), 400)
    const { manifest } = await prepareDataset(optionsFor(source, join(folder, 'less')))
    expect(manifest.findings).toContainEqual({
      level: 'warning',
      code: 'SPLIT_EMPTY',
      message: 'no subject is in test: all 1 that belong there were left out',
    })
  })

  test('that was the only one to train on ends the run, and nothing is published', async () => {
    const source = await sourceOf(['a', 'b', 'c'])
    const folder = await temporaryFolder()
    const whole = await prepareDataset(optionsFor(source, join(folder, 'whole'), { ratios: [0.34, 0.33, 0.33] }))
    const [trained] = whole.manifest.cases.filter(({ split }) => split === 'train')
    await truncate(join(source, `images/${trained!.subject}.nii.gz`), 400)
    const out = join(folder, 'less')
    await expect(prepareDataset(optionsFor(source, out, { ratios: [0.34, 0.33, 0.33] }))).rejects.toMatchObject({
      code: 'DATASET_TOO_FEW_SUBJECTS',
      message: 'there is nothing to train on: all subjects dealt there were left out',
    })
    await expect(openDataset(out)).rejects.toMatchObject({ code: 'DATASET_NOT_FOUND' })
  })

  test('that is mended comes in when the command runs again', async () => {
    const source = await sourceOf(['a', 'b', 'c'])
    const whole = await readFile(join(source, 'images/b.nii.gz'))
    await truncate(join(source, 'images/b.nii.gz'), 400)
    const folder = await temporaryFolder()
    await prepareDataset(optionsFor(source, join(folder, 'mended')))
    await writeFile(join(source, 'images/b.nii.gz'), whole)
    const { manifest, leftOut } = await prepareDataset(optionsFor(source, join(folder, 'mended')))
    expect([manifest.cases.length, leftOut.length]).toEqual([3, 0])
    await prepareDataset(optionsFor(source, join(folder, 'whole')))
    expect(await hashTree(join(folder, 'mended'))).toEqual(await hashTree(join(folder, 'whole')))
  })
})
