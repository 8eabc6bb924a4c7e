import { cp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { openDataset } from './open-dataset.js'
import { prepareDataset } from './prepare-dataset.js'
import {
  hashTree,
  optionsFor,
  readManifest,
  smallBrain,
  sourceOf,
  temporaryFolder,
  writeVolume,
} from './small-brains.test-support.js'

const IDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']

describe('a dataset', () => {
  test('has every subject once, exact counts, and volumes that open', async () => {
    const out = join(await temporaryFolder(), 'out')
    const { manifest, leftOut } = await prepareDataset(optionsFor(await sourceOf(IDS), out))
    expect(leftOut).toEqual([])
    expect(manifest.findings).toEqual([])
    expect(manifest).toEqual(await readManifest(out))
    expect(manifest.cases.map(({ subject }) => subject)).toEqual(IDS)
    expect(manifest.conform).toMatchObject({ shape: [16, 16, 16], voxelSizeMm: 10, orientation: 'LIA' })
    const dataset = await openDataset(out)
    expect(dataset.grid).toEqual({ depth: 16, height: 16, width: 16 })
    expect(dataset.classNames).toEqual(['background', 'white matter', 'grey matter'])
    expect((['train', 'valid', 'test'] as const).map((split) => dataset.cases(split).length)).toEqual([4, 2, 2])
    for (const item of dataset.cases()) {
      const { image, label } = await dataset.loadCase(item)
      const counts = [0, 1, 2].map((value) => label.filter((voxel) => voxel === value).length)
      expect(image).toHaveLength(4096)
      expect(counts).toEqual(item.voxels)
    }
  })

  test('is the same, byte for byte, when it is made again elsewhere with other workers', async () => {
    const source = await sourceOf(IDS)
    const folder = await temporaryFolder()
    const copy = join(folder, 'elsewhere', basename(source))
    await cp(source, copy, { recursive: true })
    const options = { sites: 2, name: undefined as never }
    await prepareDataset(optionsFor(source, join(folder, 'one'), { ...options, workers: 1 }))
    await prepareDataset(optionsFor(copy, join(folder, 'two'), { ...options, workers: 4 }))
    const [one, two] = [await hashTree(join(folder, 'one')), await hashTree(join(folder, 'two'))]
    expect(Object.keys(one).length).toBeGreaterThan(16)
    expect(two).toEqual(one)
  })

  test('holds no path of this machine and no text of the source headers', async () => {
    const source = await sourceOf(['a', 'b'])
    const plain = await readFile(join(source, 'images', 'a.nii.gz'))
    const bytes = gunzipSync(plain)
    bytes.write('PATIENT NAME', 148, 'latin1')
    await writeFile(join(source, 'images', 'a.nii'), bytes)
    await rm(join(source, 'images', 'a.nii.gz'))
    const out = join(await temporaryFolder(), 'out')
    await prepareDataset(optionsFor(source, out, { ratios: [1, 0, 0] }))
    for (const file of Object.keys(await hashTree(out))) {
      const content = await readFile(join(out, file))
      const text = (file.endsWith('.gz') ? gunzipSync(content) : content).toString('latin1')
      expect(text).not.toContain('PATIENT')
      expect(text).not.toContain(source)
      expect(text).not.toContain(out)
    }
  })

  test('keeps the sessions of a subject in one split and one site', async () => {
    const ids = ['1', '2', '3', '4'].flatMap((subject) => [`sub-${subject}_ses-a`, `sub-${subject}_ses-b`])
    const out = join(await temporaryFolder(), 'out')
    const { manifest } = await prepareDataset(optionsFor(await sourceOf(ids), out, { sites: 2 }))
    expect(manifest.cases).toHaveLength(8)
    for (const subject of ['sub-1', 'sub-2', 'sub-3', 'sub-4']) {
      const places = manifest.cases
        .filter((item) => item.subject === subject)
        .map(({ split, site }) => `${split} ${site}`)
      expect(places).toHaveLength(2)
      expect(new Set(places).size).toBe(1)
    }
  })

  test('writes nnU-Net splits with the names of the files', async () => {
    const out = join(await temporaryFolder(), 'out')
    const { manifest } = await prepareDataset(optionsFor(await sourceOf(IDS), out))
    const [fold] = JSON.parse(await readFile(join(out, 'splits_final.json'), 'utf8'))
    const of = (split: string): string[] =>
      manifest.cases.filter((item) => item.split === split).map((item) => item.subject)
    expect(fold).toEqual({ train: of('train'), val: of('valid') })
  })
})

describe('sites', () => {
  test('hold their own train and valid cases in a folder that opens on its own; test stays at the root', async () => {
    const out = join(await temporaryFolder(), 'out')
    const { manifest } = await prepareDataset(optionsFor(await sourceOf(IDS), out, { sites: 2 }))
    expect(manifest.sites).toEqual(['site-1', 'site-2'])
    const seen: string[] = []
    for (const site of manifest.sites) {
      const away = join(await temporaryFolder(), 'hospital')
      await rename(join(out, 'sites', site), away)
      const dataset = await openDataset(away)
      expect(dataset.manifest).toMatchObject({ site, sites: [] })
      expect([dataset.cases('train').length, dataset.cases('valid').length]).toEqual([2, 1])
      for (const item of dataset.cases()) {
        await dataset.loadCase(item)
        seen.push(item.subject)
      }
    }
    const root = await openDataset(out)
    for (const item of root.cases('test')) {
      expect(item.image).toBe(`images/${item.subject}.nii.gz`)
      await root.loadCase(item)
      seen.push(item.subject)
    }
    expect(seen.sort()).toEqual(IDS)
  })

  test('are told nothing of the subjects of others', async () => {
    const source = await sourceOf(IDS)
    for (const id of IDS) {
      const { label } = smallBrain(IDS.indexOf(id))
      label[0] = 9
      await writeVolume(
        join(source, 'labels', `${id}.nii.gz`),
        label.map((value) => [0, 2, 3][value] ?? 502),
      )
    }
    const out = join(await temporaryFolder(), 'out')
    const { manifest } = await prepareDataset(optionsFor(source, out, { sites: 2 }))
    expect(manifest.findings.filter(({ code }) => code === 'LABEL_UNMAPPED')).toHaveLength(8)
    const site = await readManifest(join(out, 'sites', 'site-1'))
    const own = site.cases.map(({ subject }) => subject).sort()
    expect(site.findings.map(({ subject }) => subject).sort()).toEqual(own)
  })

  test('of a site or a split may be empty, which is a finding, as long as every site can train', async () => {
    const out = join(await temporaryFolder(), 'out')
    const source = await sourceOf(['a', 'b', 'c'])
    const { manifest } = await prepareDataset(optionsFor(source, out, { sites: 2, ratios: [3, 1, 1] }))
    const codes = manifest.findings.map(({ code, message }) => `${code}: ${message}`)
    expect(codes.some((line) => line.startsWith('SPLIT_EMPTY'))).toBe(true)
    expect(codes.some((line) => line.startsWith('SITE_EMPTY'))).toBe(true)
    expect((await openDataset(join(out, 'sites', 'site-2'))).cases('valid')).toEqual([])
  })

  test('with fewer training subjects than sites are refused before the work, and after it when cases were left out', async () => {
    const out = join(await temporaryFolder(), 'out')
    const source = await sourceOf(['a', 'b', 'c'])
    const refused = expect.objectContaining({ code: 'DATASET_TOO_FEW_SUBJECTS' })
    await expect(prepareDataset(optionsFor(source, out, { sites: 3, ratios: [3, 1, 1] }))).rejects.toEqual(refused)
    await expect(readManifest(out)).rejects.toThrow('ENOENT')
    await writeFile(join(source, 'labels', 'b.nii.gz'), 'no label')
    await expect(prepareDataset(optionsFor(source, out, { sites: 3, ratios: [1, 0, 0] }))).rejects.toEqual(refused)
  })
})

test('a label on a finer grid of the same space is resampled onto its image', async () => {
  const source = await sourceOf(['a', 'b'])
  const coarse = smallBrain(0)
  const fine = new Uint8Array(coarse.label.length * 8)
  const [nx, ny] = [40, 44]
  for (let i = 0; i < fine.length; i++) {
    const [x, y, z] = [i % nx, Math.floor(i / nx) % ny, Math.floor(i / (nx * ny))]
    fine[i] = coarse.label[(x >> 1) + 20 * ((y >> 1) + 22 * (z >> 1))]!
  }
  const affine = [4, 0, 0, -77, 0, 4, 0, -92, 0, 0, 4, -62, 0, 0, 0, 1]
  const folder = await temporaryFolder()
  const before = await prepareDataset(optionsFor(source, join(folder, 'same')))
  await writeVolume(join(source, 'labels/a.nii.gz'), fine, { shape: [40, 44, 48], affine })
  const after = await prepareDataset(optionsFor(source, join(folder, 'fine')))
  expect(after.leftOut).toEqual([])
  expect(after.manifest.cases[0]!.labelSha256).toBe(before.manifest.cases[0]!.labelSha256)
})

test('voxels of image and label that are not finite become 0 where asked, and both are findings', async () => {
  const source = await sourceOf(['a', 'b'])
  const { image, label } = smallBrain(0)
  const spoilt = (values: ArrayLike<number>, count: number): Float32Array =>
    Float32Array.from(values, (value, i) => (i < count ? Number.NaN : value))
  await writeVolume(join(source, 'images/a.nii.gz'), spoilt(image, 3))
  await writeVolume(join(source, 'labels/a.nii.gz'), spoilt(label, 2))
  const out = join(await temporaryFolder(), 'out')
  const { manifest, leftOut } = await prepareDataset(optionsFor(source, out, { nanToZero: true, ratios: [1, 1, 0] }))
  expect(leftOut).toEqual([])
  expect(manifest.findings.slice(0, 2)).toMatchObject([
    { code: 'IMAGE_NOT_FINITE', subject: 'a', message: expect.stringContaining('images/a.nii.gz: 3 voxels') },
    { code: 'LABEL_NOT_FINITE', subject: 'a', message: expect.stringContaining('labels/a.nii.gz: 2 voxels') },
  ])
})

/** Makes a volume the second of two in its file, the first of which is empty. */
async function twice(path: string): Promise<void> {
  const bytes = gunzipSync(await readFile(path))
  bytes.writeInt16LE(4, 40)
  bytes.writeInt16LE(2, 48)
  const empty = Buffer.alloc(bytes.length - 352)
  await writeFile(path, gzipSync(Buffer.concat([bytes.subarray(0, 352), empty, bytes.subarray(352)])))
}

test.each([undefined, 1, 2])(
  'a dry run leaves out what the real one will of 4D files (--volume %s)',
  async (volume) => {
    const source = await sourceOf(['a', 'b', 'c', 'd', 'e'])
    const folder = await temporaryFolder()
    for (const id of ['a', 'b', 'c']) await twice(join(source, `images/${id}.nii.gz`))
    for (const id of ['b', 'd']) await twice(join(source, `labels/${id}.nii.gz`))
    const options = { ...(volume === undefined ? {} : { volume }) }
    const planned = await prepareDataset(optionsFor(source, join(folder, 'out'), { ...options, dryRun: true })).catch(
      (error) => error.code,
    )
    const made = await prepareDataset(optionsFor(source, join(folder, 'out'), options)).catch((error) => error.code)
    expect(planned.leftOut ?? planned).toEqual(made.leftOut ?? made)
    if (volume === undefined) expect(planned.leftOut).toHaveLength(4)
  },
)

test('--volume picks from labels, too, where they hold several volumes', async () => {
  const source = await sourceOf(['a', 'b', 'c', 'd'])
  const folder = await temporaryFolder()
  const whole = await prepareDataset(optionsFor(source, join(folder, 'whole')))
  for (const id of ['a', 'b', 'c', 'd']) await twice(join(source, `images/${id}.nii.gz`))
  for (const id of ['a', 'b']) await twice(join(source, `labels/${id}.nii.gz`))
  const picked = await prepareDataset(optionsFor(source, join(folder, 'picked'), { volume: 1 }))
  expect(picked.leftOut).toEqual([])
  expect(picked.manifest.cases).toEqual(whole.manifest.cases)
})

describe('gw3', () => {
  test('reads 0, 0.5, 1 as it reads 0, 1, 2', async () => {
    const source = await sourceOf(['a', 'b'])
    await writeVolume(
      join(source, 'labels/b.nii.gz'),
      Float32Array.from(smallBrain(1).label, (value) => value / 2),
    )
    const folder = await temporaryFolder()
    const halves = await prepareDataset(optionsFor(source, join(folder, 'halves')))
    await writeVolume(join(source, 'labels/b.nii.gz'), smallBrain(1).label)
    const whole = await prepareDataset(optionsFor(source, join(folder, 'whole')))
    expect(halves.leftOut).toEqual([])
    expect(halves.manifest.cases).toEqual(whole.manifest.cases)
  })

  test.each([
    [
      'a dseg.tsv',
      'derivatives/seg/dseg.tsv',
      'index\tname\tabbreviation\n1\tCSF\tCSF\n2\tGray Matter\tGM\n3\tWhite Matter\tWM\n',
    ],
    [
      'nnU-Net labels',
      'dataset.json',
      JSON.stringify({ labels: { background: 0, CSF: 1, 'grey matter': 2, 'white matter': 3 } }),
    ],
  ])('trusts the names in %s, whatever the numbers', async (_, file, text) => {
    const source = await temporaryFolder()
    const { image, label } = smallBrain(3)
    const numbered = label.map((value) => [0, 3, 2][value]!)
    numbered[0] = 1
    const [imageFile, labelFile] = file.endsWith('.tsv')
      ? ['sub-1/anat/sub-1_T1w.nii.gz', 'derivatives/seg/sub-1/anat/sub-1_dseg.nii.gz']
      : ['imagesTr/sub-1_0000.nii.gz', 'labelsTr/sub-1.nii.gz']
    await writeVolume(join(source, imageFile), image)
    await writeVolume(join(source, labelFile), numbered)
    await writeFile(join(source, file), text)
    const named = await prepareDataset(optionsFor(source, join(await temporaryFolder(), 'out')))
    const plain = await temporaryFolder()
    await writeVolume(join(plain, 'images/x.nii.gz'), image)
    await writeVolume(join(plain, 'labels/x.nii.gz'), label)
    const reference = await prepareDataset(optionsFor(plain, join(await temporaryFolder(), 'out')))
    expect(named.leftOut).toEqual([])
    expect(named.manifest.cases[0]!.labelSha256).toBe(reference.manifest.cases[0]!.labelSha256)
  })
})

test('one volume under two names is an error, and nothing is published', async () => {
  const source = await sourceOf(IDS)
  await cp(join(source, 'images/a.nii.gz'), join(source, 'images/h.nii.gz'))
  const out = join(await temporaryFolder(), 'out')
  await expect(prepareDataset(optionsFor(source, out, { sites: 2 }))).rejects.toMatchObject({
    code: 'DATASET_DUPLICATE',
    exitCode: 3,
    message: expect.stringContaining('a = h'),
  })
  expect(Object.keys(await hashTree(out)).filter((file) => file.endsWith('dataset.json'))).toEqual([])
  await rm(join(source, 'images/h.nii.gz'))
  const { manifest } = await prepareDataset(optionsFor(source, out, { sites: 2 }))
  expect(manifest.cases).toHaveLength(7)
  expect(Object.keys(await hashTree(out)).some((file) => /h\.nii\.gz/.test(file))).toBe(false)
})

test.each([
  ['with other intensities', (image: Int16Array) => image.map((value) => 40 + value * 3)],
  ['in another datatype', (image: Int16Array) => Float32Array.from(image, (value) => value / 7)],
])('one scan under two names is an error, too, when it was saved again %s', async (_, change) => {
  const source = await sourceOf(IDS)
  await writeVolume(join(source, 'images/h.nii.gz'), change(smallBrain(0).image))
  await writeVolume(join(source, 'labels/h.nii.gz'), smallBrain(0).label)
  await expect(prepareDataset(optionsFor(source, join(await temporaryFolder(), 'out')))).rejects.toMatchObject({
    code: 'DATASET_DUPLICATE',
    message: expect.stringMatching(/a [=~] h/),
  })
})

test('two scans that look alike are a finding that names both, and no site is told of it', async () => {
  const source = await sourceOf(IDS)
  const { image, label } = smallBrain(0)
  await writeVolume(
    join(source, 'images/h.nii.gz'),
    image.map((value, i) => value + (i % 7) * 5),
  )
  await writeVolume(join(source, 'labels/h.nii.gz'), label)
  const out = join(await temporaryFolder(), 'out')
  const { manifest } = await prepareDataset(optionsFor(source, out, { sites: 2 }))
  expect(manifest.cases).toHaveLength(8)
  expect(manifest.findings).toEqual([
    {
      level: 'warning',
      code: 'NEAR_DUPLICATE',
      message: expect.stringMatching(/^a and h look alike \(correlation 0\.99\d\d\)/),
    },
  ])
  for (const site of manifest.sites) expect((await readManifest(join(out, 'sites', site))).findings).toEqual([])
})

test('two sessions of a subject that are one volume are a finding', async () => {
  const source = await sourceOf(['sub-1_ses-a', 'sub-1_ses-b', 'sub-2'])
  await cp(join(source, 'images/sub-1_ses-a.nii.gz'), join(source, 'images/sub-1_ses-b.nii.gz'))
  await cp(join(source, 'labels/sub-1_ses-a.nii.gz'), join(source, 'labels/sub-1_ses-b.nii.gz'))
  const { manifest } = await prepareDataset(optionsFor(source, join(await temporaryFolder(), 'out')))
  expect(manifest.cases).toHaveLength(3)
  expect(manifest.findings).toContainEqual(
    expect.objectContaining({ code: 'DUPLICATE_WITHIN_SUBJECT', subject: 'sub-1' }),
  )
})

describe('without conforming', () => {
  const none = { conform: { mode: 'none', shape: [1, 1, 1], voxelSizeMm: 1 } } as const

  test('the grid is that of the cases', async () => {
    const out = join(await temporaryFolder(), 'out')
    const { manifest } = await prepareDataset(optionsFor(await sourceOf(['a', 'b']), out, none))
    expect(manifest.conform).toMatchObject({ mode: 'none', shape: [20, 22, 24], voxelSizeMm: 8, orientation: 'RAS' })
    expect((await openDataset(out)).grid).toEqual({ depth: 24, height: 22, width: 20 })
  })

  test('cases on different grids are an error that lists them', async () => {
    const source = await sourceOf(['a', 'b'])
    const shape = [20, 22, 26] as const
    const { image, label } = smallBrain(5, shape)
    await writeVolume(join(source, 'images/b.nii.gz'), image, { shape })
    await writeVolume(join(source, 'labels/b.nii.gz'), label, { shape })
    const run = prepareDataset(optionsFor(source, join(await temporaryFolder(), 'out'), none))
    await expect(run).rejects.toMatchObject({
      code: 'DATASET_SHAPES_DIFFER',
      message: expect.stringContaining('20x22x26'),
    })
  })
})
