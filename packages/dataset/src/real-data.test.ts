import { existsSync } from 'node:fs'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openDataset } from './open-dataset.js'
import { prepareDataset } from './prepare-dataset.js'
import { optionsFor, temporaryFolder } from './small-brains.test-support.js'

const DATA = new URL('../../../../shared/data/', import.meta.url).pathname
const COHORT = join(DATA, 'cohort-ixi-2mm')
const FREESURFER = join(DATA, 'freesurfer')
const REASON = 'skipped where ../shared/data is absent'

describe.skipIf(!existsSync(COHORT))(`the IXI cohort (${REASON})`, () => {
  test('is found by its table, and its MUSE codes become three classes', async () => {
    const folder = await temporaryFolder()
    const subjects = ['IXI083', 'IXI105', 'IXI127']
    const files = ['IXI083-HH-1357_T1.nii.gz', 'IXI105-HH-1471_T1.nii.gz', 'IXI127-HH-1451_T1.nii.gz']
    const rows = files.map((file, i) => `${subjects[i]}\t${COHORT}/images/${file}\t${COHORT}/labels/${file}`)
    await writeFile(join(folder, 'cases.tsv'), `subject\timage\tlabel\n${rows.join('\n')}\n`)
    const options = optionsFor(folder, join(folder, 'out'), {
      labelMap: join(COHORT, 'label-map.json'),
      conform: { mode: 'freesurfer', shape: [64, 64, 64], voxelSizeMm: 4 },
      ratios: [1, 1, 1],
    })
    const { manifest, leftOut } = await prepareDataset(options)
    expect(leftOut).toEqual([])
    expect(manifest.findings).toEqual([])
    expect(manifest.labelMap.classes.map(({ name }) => name)).toEqual(['background', 'white matter', 'grey matter'])
    expect(manifest.cases[0]!.source).toMatchObject({ image: files[0], shape: [120, 120, 90] })
    for (const item of manifest.cases) {
      // An adult's white and grey matter are about half a litre each; a voxel is 0.064 mL.
      for (const voxels of item.voxels.slice(1)) expect(voxels * 0.064).toBeGreaterThan(350)
      for (const voxels of item.voxels.slice(1)) expect(voxels * 0.064).toBeLessThan(1200)
    }
  })

  test('does not fit into 128 voxels of 1 mm, which is told', async () => {
    const folder = await temporaryFolder()
    const file = 'IXI083-HH-1357_T1.nii.gz'
    const table = `subject,image,label\nIXI083,${COHORT}/images/${file},${COHORT}/labels/${file}\n`
    await writeFile(join(folder, 'cases.csv'), table)
    const options = optionsFor(folder, join(folder, 'out'), {
      labelMap: join(COHORT, 'label-map.json'),
      conform: { mode: 'freesurfer', shape: [128, 128, 128], voxelSizeMm: 1 },
    })
    await expect(prepareDataset(options)).rejects.toMatchObject({ data: { leftOut: [{ code: 'LABEL_CROPPED' }] } })
  })

  test('read with the codes of FreeSurfer is refused: its own are others', async () => {
    const folder = await temporaryFolder()
    const file = 'IXI083-HH-1357_T1.nii.gz'
    const table = `subject,image,label\nIXI083,${COHORT}/images/${file},${COHORT}/labels/${file}\n`
    await writeFile(join(folder, 'cases.csv'), table)
    await writeFile(join(folder, 'label-map.json'), '{}')
    await expect(prepareDataset(optionsFor(folder, join(folder, 'out')))).rejects.toMatchObject({
      hint: `try --label-map ${join(folder, 'label-map.json')}`,
      data: { leftOut: [{ code: 'LABEL_MAP_MISMATCH' }] },
    })
  })

  test('read with white and grey exchanged is refused case by case', async () => {
    const folder = await temporaryFolder()
    const file = 'IXI083-HH-1357_T1.nii.gz'
    await writeFile(
      join(folder, 'cases.csv'),
      `subject,image,label\nIXI083,${COHORT}/images/${file},${COHORT}/labels/${file}\n`,
    )
    const map = {
      name: 'wrong',
      classes: [
        ['background', 0],
        ['white matter', 2],
        ['grey matter', 1],
      ] as const,
    }
    const real = JSON.parse(await readFile(join(COHORT, 'label-map.json'), 'utf8'))
    const classes = map.classes.map(([name, from], value) => ({ value, name, codes: real.classes[from].codes }))
    await writeFile(join(folder, 'map.json'), JSON.stringify({ name: 'wrong', classes }))
    const run = prepareDataset(
      optionsFor(folder, join(folder, 'out'), {
        labelMap: join(folder, 'map.json'),
        conform: { mode: 'freesurfer', shape: [64, 64, 64], voxelSizeMm: 4 },
      }),
    )
    await expect(run).rejects.toMatchObject({
      code: 'DATASET_NO_CASES',
      data: { leftOut: [{ subject: 'IXI083', code: 'LABEL_CLASSES_SWAPPED' }] },
    })
  })
})

describe.skipIf(!existsSync(FREESURFER))(`a FreeSurfer subjects folder (${REASON})`, () => {
  test('gives aseg in three classes and in 18', async () => {
    const source = await temporaryFolder()
    await mkdir(join(source, 'subjects'))
    await symlink(join(FREESURFER, 'sample-3mm'), join(source, 'subjects', 'sample'))
    for (const [labelMap, classes] of [
      ['gw3', 3],
      ['aseg', 18],
    ] as const) {
      const out = join(await temporaryFolder(), 'out')
      const { manifest, leftOut } = await prepareDataset(
        optionsFor(join(source, 'subjects'), out, {
          labelMap,
          conform: { mode: 'freesurfer', shape: [86, 86, 86], voxelSizeMm: 3 },
          ratios: [1, 0, 0],
        }),
      )
      expect(leftOut).toEqual([])
      expect(manifest.cases[0]!.voxels).toHaveLength(classes)
      expect(manifest.cases[0]!.voxels.every((count) => count > 0)).toBe(true)
      expect(manifest.findings.filter(({ code }) => code === 'LABEL_UNMAPPED')).toEqual([])
      const dataset = await openDataset(out)
      expect((await dataset.loadCase(dataset.cases()[0]!)).image).toHaveLength(86 ** 3)
    }
  })
})
