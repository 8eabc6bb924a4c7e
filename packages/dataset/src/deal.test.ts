import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { DatasetManifest } from './manifest.js'
import { openDataset } from './open-dataset.js'
import { prepareDataset } from './prepare-dataset.js'
import type { PrepareOptions } from './prepare-options.js'
import {
  folderWith,
  optionsFor,
  readManifest,
  smallBrain,
  sourceOf,
  temporaryFolder,
  writeVolume,
} from './small-brains.test-support.js'

const IDS = Array.from({ length: 12 }, (_, index) => `s${String(index).padStart(2, '0')}`)
const CENTERS = ['Guys', 'HH', 'IOP']

/** Brains with a table that has the column center. */
async function tableOf(ids: readonly string[], center: (index: number) => string): Promise<string> {
  const source = await sourceOf(ids)
  const rows = ids.map((id, index) => `${id},images/${id}.nii.gz,labels/${id}.nii.gz,${center(index)}`)
  await writeFile(join(source, 'cases.csv'), ['subject,image,label,center', ...rows, ''].join('\n'))
  return source
}

const places = ({ cases }: DatasetManifest) =>
  new Map(cases.map(({ subject, split, site }) => [subject, `${split} ${site}`]))

describe('by a column', () => {
  test('every value is a site that holds its own subjects, in a folder that opens on its own', async () => {
    const source = await tableOf(IDS, (index) => `${CENTERS[index % 3]!} Hospital`)
    const out = join(await temporaryFolder(), 'out')
    const { manifest } = await prepareDataset(optionsFor(source, out, { partition: 'by:center' }))
    expect(manifest).toMatchObject({ partition: 'by:center', sites: CENTERS.map((name) => `${name}-Hospital`) })
    for (const site of manifest.sites) {
      const dataset = await openDataset(join(out, 'sites', site))
      const centers = new Set(dataset.cases().map(({ columns }) => columns.center))
      expect([...centers]).toEqual([site.replace('-', ' ')])
      expect(dataset.cases('test')).toEqual([])
    }
    for (const item of manifest.cases) expect(item.site === undefined).toBe(item.split === 'test')
    const again = await prepareDataset(optionsFor(source, out, { partition: 'by:center', sites: 3 }))
    expect(again.manifest).toEqual(manifest)
  })

  test('another number of --sites is a mistake of usage', async () => {
    const source = await tableOf(IDS, (index) => CENTERS[index % 3]!)
    const made = prepareDataset(optionsFor(source, 'unused', { partition: 'by:center', sites: 2, dryRun: true }))
    await expect(made).rejects.toMatchObject({ code: 'SITES_INVALID', exitCode: 2, message: /center has 3 values/ })
  })

  test('a value with nobody in train is an error that names it, one with nobody in valid a finding', async () => {
    const rare = (index: number): string => (index === 0 ? 'rare' : 'common')
    const source = await tableOf(IDS, rare)
    const results = await Promise.all(
      Array.from({ length: 8 }, (_, seed) =>
        prepareDataset(optionsFor(source, 'unused', { partition: 'by:center', dryRun: true, seed })).catch(
          (error: Error) => error,
        ),
      ),
    )
    const refused = results.filter((result) => result instanceof Error)
    expect(refused.length).toBeGreaterThan(0)
    expect(refused.length).toBeLessThan(8)
    for (const error of refused) {
      expect(error).toMatchObject({
        code: 'DATASET_TOO_FEW_SUBJECTS',
        message: 'rare would have nothing to train on: no subject of that center is in train',
      })
    }
    const made = results.flatMap((result) => (result instanceof Error ? [] : [result.manifest]))
    for (const { findings } of made) {
      expect(findings).toContainEqual(
        expect.objectContaining({
          code: 'SITE_EMPTY',
          message: expect.stringMatching(/^rare has no subject in valid/),
        }),
      )
    }
  })

  test('a subject without a value is an error that names it', async () => {
    const source = await tableOf(IDS, (index) => ['n/a', ' '][index] ?? 'HH')
    const made = prepareDataset(optionsFor(source, 'unused', { partition: 'by:center', dryRun: true }))
    await expect(made).rejects.toMatchObject({
      code: 'COLUMN_VALUE_MISSING',
      exitCode: 3,
      message: 's00, s01 have no value of center, which names the site',
    })
  })
})

describe('the values of a column', () => {
  const findingsOf = async (values: (index: number) => string) =>
    (await prepareDataset(optionsFor(await tableOf(IDS, values), 'unused', { stratify: 'center', dryRun: true })))
      .manifest.findings

  test('are alike however their marks were written down', async () => {
    const source = await tableOf(IDS, (index) => ['K\u00f6ln', 'Ko\u0308ln'][index % 2]!)
    const { manifest } = await prepareDataset(optionsFor(source, 'unused', { partition: 'by:center', dryRun: true }))
    expect(manifest.sites).toEqual(['Koln'])
  })

  test.each(['', 'n/a', 'N/A', 'NA', 'NaN', 'null'])(
    'are missing where "%s" stands, which is a finding',
    async (word) => {
      expect(await findingsOf((index) => (index < 2 ? word : 'HH'))).toContainEqual({
        ...{ level: 'warning', code: 'COLUMN_VALUE_MISSING' },
        message: 's00, s01 have no value of center, which counts as a value of its own',
      })
    },
  )

  test('that most subjects have for themselves are a finding', async () => {
    const codes = async (values: (index: number) => string) => (await findingsOf(values)).map(({ code }) => code)
    expect(await codes((index) => `${index}`)).toContain('STRATA_SMALL')
    expect(await codes((index) => CENTERS[index % 3]!)).not.toContain('STRATA_SMALL')
  })
})

describe('stratified by a column', () => {
  test('every part has as many of each value as there are of all, and the manifest says so', async () => {
    const source = await tableOf(IDS, (index) => CENTERS[index % 3]!)
    const options = optionsFor(source, 'unused', { stratify: 'center', ratios: [2, 1, 1], dryRun: true })
    const { manifest } = await prepareDataset(options)
    expect(manifest).toMatchObject({ stratify: 'center', partition: 'none' })
    for (const center of CENTERS) {
      const own = manifest.cases.filter(({ columns }) => columns.center === center)
      expect(own.map(({ split }) => split).sort()).toEqual(['test', 'train', 'train', 'valid'])
    }
  })

  test('a site of each value has subjects in train whatever the seed', async () => {
    const source = await tableOf(IDS, (index) => (index < 2 ? 'rare' : 'common'))
    for (const seed of [0, 1, 2, 3, 4, 5]) {
      const options = optionsFor(source, 'unused', { stratify: 'center', partition: 'by:center', dryRun: true, seed })
      const { manifest } = await prepareDataset(options)
      expect(manifest.cases.filter(({ split, site }) => split === 'train' && site === 'rare')).toHaveLength(1)
    }
  })

  test('another column is another dataset', async () => {
    const source = await tableOf(IDS, (index) => CENTERS[index % 3]!)
    const out = join(await temporaryFolder(), 'out')
    await prepareDataset(optionsFor(source, out, { stratify: 'center' }))
    await expect(prepareDataset(optionsFor(source, out))).rejects.toMatchObject({ code: 'DATASET_EXISTS' })
  })
})

test.each([
  ['quantity:0.5', undefined],
  ['dirichlet:0.5:center', 'center'],
  ['by:center', 'center'],
])(
  'dealt by %s, stratified by %s, who is left out keeps a place, and moves nobody when it is mended',
  async (partition, stratify) => {
    const source = await tableOf(IDS, (index) => CENTERS[index % 3]!)
    const out = join(await temporaryFolder(), 'out')
    const options = optionsFor(source, out, {
      partition,
      ...(stratify === undefined ? {} : { stratify }),
      ratios: [3, 1, 0],
      ...(partition === 'by:center' ? {} : { sites: 2 }),
    })
    const plan = await prepareDataset({ ...options, dryRun: true })
    const harmed = plan.manifest.cases.find(({ split }) => split === 'valid')!.subject
    const image = join(source, 'images', `${harmed}.nii.gz`)
    await writeFile(image, 'no scan')
    const without = await prepareDataset(options)
    expect(without.leftOut.map(({ subject }) => subject)).toEqual([harmed])
    await writeVolume(image, smallBrain(IDS.indexOf(harmed)).image)
    const mended = places((await prepareDataset(options)).manifest)
    expect(mended).toEqual(places(plan.manifest))
    mended.delete(harmed)
    expect(mended).toEqual(places(without.manifest))
    expect((await readManifest(out)).partition).toBe(partition)
  },
)

test('scans of one subject that name two values are an error that names the subject', async () => {
  const source = await tableOf(['sub-1_ses-a', 'sub-1_ses-b', 'sub-2'], (index) => CENTERS[index]!)
  await writeFile(
    join(source, 'cases.csv'),
    ['a,HH', 'b,IOP', 'b,']
      .map((line) => line.split(','))
      .reduce(
        (text, [session, center]) =>
          `${text}sub-1,images/sub-1_ses-${session}.nii.gz,labels/sub-1_ses-${session}.nii.gz,${center}\n`,
        'subject,image,label,center\n',
      ),
  )
  const made = prepareDataset(optionsFor(source, 'unused', { partition: 'by:center', dryRun: true }))
  await expect(made).rejects.toMatchObject({
    code: 'COLUMN_AMBIGUOUS',
    exitCode: 3,
    message: 'sub-1 has two values of center: HH and IOP',
  })
})

test('a column that nothing has is a mistake of usage that names those there are', async () => {
  const source = await tableOf(IDS, () => 'HH')
  const made = prepareDataset(optionsFor(source, 'unused', { partition: 'dirichlet:1:vendor', sites: 2, dryRun: true }))
  await expect(made).rejects.toMatchObject({
    code: 'COLUMN_UNKNOWN',
    exitCode: 2,
    hint: expect.stringMatching(/^it has center; /),
  })
})

test('shares that are drawn need a number of sites', async () => {
  const made = prepareDataset(optionsFor(await sourceOf(['a']), 'unused', { partition: 'quantity:1', dryRun: true }))
  await expect(made).rejects.toMatchObject({
    code: 'PARTITION_INVALID',
    exitCode: 2,
    hint: expect.stringContaining('--sites'),
  })
})

describe('in a BIDS folder', () => {
  const NAMES = ['01', '02', '03', '04']

  async function bidsFolder(): Promise<string> {
    const source = await temporaryFolder()
    for (const [seed, name] of NAMES.entries()) {
      const { image, label } = smallBrain(seed)
      await writeVolume(join(source, `sub-${name}/anat/sub-${name}_T1w.nii.gz`), image)
      await writeVolume(join(source, `derivatives/seg/sub-${name}/anat/sub-${name}_dseg.nii.gz`), label)
    }
    const rows = NAMES.map((name, index) => `sub-${name}\t${20 + index}\t${['GE', 'Siemens'][index % 2]}`)
    await writeFile(join(source, 'participants.tsv'), ['participant_id\tage\tvendor', ...rows, ''].join('\n'))
    return source
  }

  test('the column is read from participants.tsv, and of other columns nothing comes into the dataset', async () => {
    const out = join(await temporaryFolder(), 'out')
    const options = optionsFor(await bidsFolder(), out, { partition: 'by:vendor', ratios: [1, 0, 0] })
    const { manifest } = await prepareDataset(options)
    expect(manifest.sites).toEqual(['GE', 'Siemens'])
    expect(manifest.cases.map(({ columns, site }) => ({ columns, site }))).toEqual(
      NAMES.map((_, index) => {
        const vendor = ['GE', 'Siemens'][index % 2]!
        return { columns: { vendor }, site: vendor }
      }),
    )
    const plain = await prepareDataset(optionsFor(options.source, `${out}-2`))
    expect(plain.manifest.cases.every(({ columns }) => Object.keys(columns).length === 0)).toBe(true)
  })

  test.skipIf(process.platform === 'win32')(
    'a subject that cannot be looked into keeps a place by its value in participants.tsv',
    async () => {
      const source = await bidsFolder()
      const options = optionsFor(source, 'unused', { ratios: [1, 0, 0], sites: 2, dryRun: true })
      const deal = async () =>
        places((await prepareDataset({ ...options, partition: 'dirichlet:0.1:vendor' })).manifest)
      const whole = await deal()
      await rm(join(source, 'sub-01'), { recursive: true })
      await symlink(join(source, 'elsewhere'), join(source, 'sub-01'))
      const without = await deal()
      expect(whole.delete('sub-01')).toBe(true)
      expect(without).toEqual(whole)
    },
  )

  const withTable = async (...lines: string[]): Promise<string> => {
    const source = await bidsFolder()
    await writeFile(join(source, 'participants.tsv'), [...lines, ''].join('\n'))
    return source
  }
  const deal = async (source: string, change: Partial<PrepareOptions> = { stratify: 'vendor' }) =>
    (await prepareDataset(optionsFor(source, 'unused', { dryRun: true, ...change }))).manifest

  test('a table whose rows are of nobody is an error, not a split that knows no strata', async () => {
    const nobody = await withTable('participant_id\tvendor', 'sub-1\tGE', 'sub-2\tSiemens')
    await expect(deal(nobody)).rejects.toMatchObject({ code: 'COLUMN_VALUE_MISSING', exitCode: 3 })
    await expect(deal(nobody, { partition: 'dirichlet:1:vendor', sites: 2 })).rejects.toMatchObject({
      code: 'COLUMN_VALUE_MISSING',
    })
    await expect(deal(await withTable('subject\tvendor', 'sub-01\tGE'))).rejects.toMatchObject({
      code: 'TABLE_MALFORMED',
      message: expect.stringContaining('participant_id'),
    })
  })

  test('a subject of two rows has the value of either; two values are an error', async () => {
    const rows = ['sub-01\tGE', 'sub-02\tGE', 'sub-03\tSiemens', 'sub-04\tSiemens']
    const visits = await withTable('participant_id\tvendor', ...rows, 'sub-01\tn/a', 'sub-01\tGE')
    expect((await deal(visits, { partition: 'by:vendor', ratios: [1, 0, 0] })).sites).toEqual(['GE', 'Siemens'])
    await expect(deal(await withTable('participant_id\tvendor', ...rows, 'sub-01\tPhilips'))).rejects.toMatchObject({
      code: 'COLUMN_AMBIGUOUS',
    })
  })

  test('a column that is not there is told with those that are', async () => {
    await expect(deal(await bidsFolder(), { stratify: 'Vendor' })).rejects.toMatchObject({
      code: 'COLUMN_UNKNOWN',
      hint: expect.stringMatching(/^it has age, vendor; /),
    })
  })

  test('a table that is not there is told as columns that are not there', async () => {
    const source = await folderWith('sub-01/anat/sub-01_T1w.nii', 'derivatives/sub-01/sub-01_dseg.nii')
    await mkdir(join(source, 'code'))
    const made = prepareDataset(optionsFor(source, 'unused', { partition: 'by:vendor', dryRun: true }))
    await expect(made).rejects.toMatchObject({
      code: 'COLUMN_UNKNOWN',
      hint: 'it has none; columns are those of a table, or of participants.tsv in a BIDS folder',
    })
  })
})
