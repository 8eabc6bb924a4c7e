import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { caseIds } from './case-id.js'
import { findCases } from './find-cases.js'
import { parseTable } from './layouts/table.js'
import { folderWith, pairs } from './small-brains.test-support.js'
import { sourceName } from './source-files.js'

describe('two folders', () => {
  test('pairs files of the same name whatever their extensions', async () => {
    const root = await folderWith('images/a.nii.gz', 'labels/a.mgz', 'images/b.hdr', 'images/b.img', 'labels/b.nii')
    const found = await findCases(root)
    expect(found.layout).toBe('folders')
    expect(pairs(found, root)).toEqual(['a: images/a.nii.gz + labels/a.mgz', 'b: images/b.hdr + labels/b.nii'])
    expect(found.findings).toEqual([])
  })

  test('an image without a label and a label without an image are findings', async () => {
    const root = await folderWith('images/a.nii', 'images/b.nii', 'labels/a.nii', 'labels/c.nii', 'images/notes.txt')
    const found = await findCases(root)
    expect(found.cases.map(({ subject }) => subject)).toEqual(['a'])
    expect(found.findings.map(({ code, subject }) => [code, subject])).toEqual([
      ['IMAGE_WITHOUT_LABEL', 'b'],
      ['LABEL_WITHOUT_IMAGE', 'c'],
    ])
  })

  test('a name that is there twice with two endings is an error of its case, in nnU-Net, too', async () => {
    const folders = await folderWith('images/a.nii', 'images/a.nii.gz', 'labels/a.nii', 'images/b.nii', 'labels/b.nii')
    const nnunet = await folderWith(
      ...['imagesTr/a_0000.nii', 'labelsTr/a.nii', 'labelsTr/a.nii.gz', 'imagesTr/b_0000.nii', 'labelsTr/b.nii'],
    )
    for (const [root, names] of [
      [folders, 'images/a.nii and images/a.nii.gz'],
      [nnunet, 'labelsTr/a.nii and labelsTr/a.nii.gz'],
    ] as const) {
      const { cases, findings } = await findCases(root)
      expect(cases.map(({ subject }) => subject)).toEqual(['b'])
      expect(findings).toMatchObject([
        {
          level: 'error',
          code: 'FILES_SAME_NAME',
          subject: 'a',
          message: `${names} have one name but for its ending`,
        },
      ])
    }
  })

  test('names in the way of BIDS keep the sessions of a subject together', async () => {
    const files = ['sub-1_ses-a', 'sub-1_ses-b', 'sub-2'].flatMap((stem) => [
      `images/${stem}.nii`,
      `labels/${stem}.nii`,
    ])
    const { cases } = await findCases(await folderWith(...files))
    expect(cases.map(({ subject, columns }) => [subject, columns.session])).toEqual([
      ['sub-1', 'ses-a'],
      ['sub-1', 'ses-b'],
      ['sub-2', undefined],
    ])
    expect(caseIds(cases)).toEqual(['sub-1_ses-a', 'sub-1_ses-b', 'sub-2'])
  })

  test('--image and --label name other folders', async () => {
    const root = await folderWith('t1/a.nii', 'seg/a.nii')
    expect((await findCases(root, { image: 't1', label: 'seg' })).cases).toHaveLength(1)
  })
})

describe('FreeSurfer', () => {
  test('takes the first of norm, brain, T1 and of aparc+aseg, aparc.a2009s+aseg, aseg', async () => {
    const root = await folderWith(
      'bert/mri/T1.mgz',
      'bert/mri/norm.mgz',
      'bert/mri/aseg.mgz',
      'ernie/mri/T1.mgz',
      'ernie/mri/aseg.mgz',
      'ernie/mri/aparc+aseg.mgz',
      'fsaverage/mri/T1.mgz',
      'fsaverage/mri/aseg.mgz',
      'oscar/mri/T1.mgz',
    )
    const found = await findCases(root)
    expect(found.layout).toBe('freesurfer')
    expect(pairs(found, root)).toEqual([
      'bert: bert/mri/norm.mgz + bert/mri/aseg.mgz',
      'ernie: ernie/mri/T1.mgz + ernie/mri/aparc+aseg.mgz',
    ])
    expect(found.findings).toMatchObject([{ code: 'IMAGE_WITHOUT_LABEL', subject: 'oscar' }, { code: 'IMAGES_MIXED' }])
    const chosen = await findCases(root, { image: 'T1', label: 'aseg.mgz' })
    expect(pairs(chosen, root)[0]).toBe('bert: bert/mri/T1.mgz + bert/mri/aseg.mgz')
  })

  test('keeps the sessions and the time points of a subject together', async () => {
    const folders = [
      ...['sub-01_ses-1', 'sub-01_ses-2', 'sub-01.base', 'sub-01_ses-1.long.sub-01.base'],
      ...['ann', 'ann-2010', 'ann-2012', 'ann-2010.long.ann', 'ann-2012.long.ann', 'bob-2010'],
    ]
    const root = await folderWith(...folders.flatMap((name) => [`${name}/mri/norm.mgz`, `${name}/mri/aseg.mgz`]))
    const { cases, findings } = await findCases(root)
    const subjects = new Map<string, string[]>()
    for (const { subject, image } of cases) {
      const folder = image.slice(root.length + 1).split('/')[0]!
      subjects.set(subject, [...(subjects.get(subject) ?? []), folder].sort())
    }
    expect(Object.fromEntries(subjects)).toEqual({
      'sub-01': ['sub-01_ses-1', 'sub-01_ses-1.long.sub-01.base', 'sub-01_ses-2'],
      ann: ['ann-2010', 'ann-2010.long.ann', 'ann-2012', 'ann-2012.long.ann'],
      'bob-2010': ['bob-2010'],
    })
    expect(caseIds(cases)).toContain('sub-01_ses-2')
    expect(findings.map(({ code, message }) => [code, message.split(' ')[0]])).toEqual([
      ['SUBJECT_PASSED_OVER', 'ann'],
      ['SUBJECT_PASSED_OVER', 'sub-01.base'],
    ])
  })

  test('takes no template for a subject, whatever it is called', async () => {
    const folders = ['sub-04_ses-1', 'sub-04_ses-2', 'tmpl04', 'sub-04_ses-1.long.tmpl04', 'sub-04_ses-2.long.tmpl04']
    const root = await folderWith(...folders.flatMap((name) => [`${name}/mri/norm.mgz`, `${name}/mri/aseg.mgz`]))
    const { cases, findings } = await findCases(root)
    expect(cases).toHaveLength(4)
    expect(new Set(cases.map(({ subject }) => subject))).toEqual(new Set(['sub-04']))
    expect(findings).toMatchObject([{ code: 'SUBJECT_PASSED_OVER', subject: 'tmpl04' }])
  })

  test('says how many images are of which kind where they are of several', async () => {
    const images = { ann: 'norm', bob: 'norm', cem: 'T1', dan: 'brain' }
    const root = await folderWith(
      ...Object.entries(images).flatMap(([name, image]) => [`${name}/mri/${image}.mgz`, `${name}/mri/aseg.mgz`]),
    )
    expect((await findCases(root)).findings).toEqual([
      {
        level: 'warning',
        code: 'IMAGES_MIXED',
        message:
          'the images are not all of one kind: norm.mgz of 2, brain.mgz of 1, T1.mgz of 1; --image takes one kind only',
      },
    ])
    expect((await findCases(root, { image: 'norm' })).findings.map(({ code }) => code)).not.toContain('IMAGES_MIXED')
  })
})

describe('BIDS', () => {
  test('pairs by subject and session, and prefers the label of the same run', async () => {
    const root = await folderWith(
      'sub-01/ses-1/anat/sub-01_ses-1_run-1_T1w.nii.gz',
      'sub-01/ses-1/anat/sub-01_ses-1_run-2_T1w.nii.gz',
      'sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz',
      'sub-02/anat/sub-02_T1w.nii.gz',
      'sub-03/anat/sub-03_T1w.nii.gz',
      'derivatives/seg/sub-01/ses-1/anat/sub-01_ses-1_dseg.nii.gz',
      'derivatives/seg/sub-01/ses-1/anat/sub-01_ses-1_run-2_dseg.nii.gz',
      'derivatives/seg/sub-01/ses-2/anat/sub-01_ses-2_dseg.nii.gz',
      'derivatives/seg/sub-02/anat/sub-02_space-MNI152NLin2009cAsym_dseg.nii.gz',
      'derivatives/seg/sub-02/anat/sub-02_space-T1w_dseg.nii.gz',
      'derivatives/seg/sub-02/anat/sub-02_dseg.tsv',
      'derivatives/seg/dseg.tsv',
    )
    const found = await findCases(root)
    expect(found.layout).toBe('bids')
    const short = pairs(found, root).map((pair) => pair.replaceAll(/[^ ]*\//g, ''))
    expect(short).toEqual([
      'sub-01: sub-01_ses-1_run-1_T1w.nii.gz + sub-01_ses-1_dseg.nii.gz',
      'sub-01: sub-01_ses-1_run-2_T1w.nii.gz + sub-01_ses-1_run-2_dseg.nii.gz',
      'sub-01: sub-01_ses-2_T1w.nii.gz + sub-01_ses-2_dseg.nii.gz',
      'sub-02: sub-02_T1w.nii.gz + sub-02_space-T1w_dseg.nii.gz',
    ])
    expect(found.findings).toMatchObject([{ code: 'IMAGE_WITHOUT_LABEL', subject: 'sub-03' }])
    expect(caseIds(found.cases)).toEqual(['sub-01_ses-1_run-1', 'sub-01_ses-1_run-2', 'sub-01_ses-2', 'sub-02'])
    expect(found.cases[0]!.names?.endsWith('seg/dseg.tsv')).toBe(true)
    expect(found.cases[3]!.names?.endsWith('sub-02_dseg.tsv')).toBe(true)
  })

  test('a label that fits several scans is named with all of them', async () => {
    const root = await folderWith(
      ...['run-1_T1w', 'run-2_T1w'].map((name) => `sub-1/anat/sub-1_${name}.nii`),
      'derivatives/seg/sub-1/anat/sub-1_dseg.nii',
    )
    const { cases, findings } = await findCases(root)
    expect(cases).toHaveLength(2)
    expect(findings).toEqual([
      {
        level: 'warning',
        code: 'LABEL_SHARED',
        subject: 'sub-1',
        message:
          'derivatives/seg/sub-1/anat/sub-1_dseg.nii names no scan of its own and is the label of sub-1/anat/sub-1_run-1_T1w.nii and sub-1/anat/sub-1_run-2_T1w.nii',
      },
    ])
  })
})

describe('nnU-Net', () => {
  test('pairs the first channel with the label of the case', async () => {
    const root = await folderWith(
      'dataset.json',
      'imagesTr/brain_001_0000.nii.gz',
      'imagesTr/brain_001_0001.nii.gz',
      'imagesTr/brain_002_0000.nii.gz',
      'labelsTr/brain_001.nii.gz',
      'labelsTr/brain_003.nii.gz',
    )
    const found = await findCases(root)
    expect(found.layout).toBe('nnunet')
    expect(pairs(found, root)).toEqual(['brain_001: imagesTr/brain_001_0000.nii.gz + labelsTr/brain_001.nii.gz'])
    expect(found.findings.map(({ code, subject }) => [code, subject])).toEqual([
      ['IMAGE_WITHOUT_LABEL', 'brain_002'],
      ['LABEL_WITHOUT_IMAGE', 'brain_003'],
    ])
    expect(found.cases[0]!.names).toBe(join(root, 'dataset.json'))
    expect(pairs(await findCases(root, { image: '0001' }), root)[0]).toContain('brain_001_0001')
  })

  test('keeps the sessions of a subject together where the names are those of BIDS', async () => {
    const cases = ['sub-01_ses-1', 'sub-01_ses-2', 'brain_001']
    const root = await folderWith(
      ...cases.flatMap((name) => [`imagesTr/${name}_0000.nii.gz`, `labelsTr/${name}.nii.gz`]),
    )
    const found = await findCases(root)
    expect(found.cases.map(({ subject }) => subject)).toEqual(['brain_001', 'sub-01', 'sub-01'])
    expect(caseIds(found.cases)).toEqual(cases.sort())
  })
})

describe('a table', () => {
  test('has paths relative to itself and keeps its other columns', async () => {
    const root = await folderWith('data/a.nii', 'data/a_seg.nii')
    await writeFile(
      join(root, 'list.csv'),
      '\uFEFFsubject,image,label,scanner\na,data/a.nii,data/a_seg.nii,"Philips, 3T"\n',
    )
    const found = await findCases(join(root, 'list.csv'))
    expect(found.layout).toBe('table')
    expect(pairs(found, root)).toEqual(['a: data/a.nii + data/a_seg.nii'])
    expect(found.cases[0]!.columns).toEqual({ scanner: 'Philips, 3T' })
  })

  test('one name is one subject, whether its letters are composed or not', async () => {
    const root = await folderWith('a.nii', 'b.nii')
    const rows = ['Zo\u00e9,a.nii,l.nii', 'Zoe\u0301,b.nii,l.nii']
    await writeFile(join(root, 'list.csv'), ['subject,image,label', ...rows, ''].join('\n'))
    const { cases } = await findCases(join(root, 'list.csv'))
    expect(new Set(cases.map(({ subject }) => subject)).size).toBe(1)
  })

  test('named cases.tsv in a folder is found there', async () => {
    const root = await folderWith('images/a.nii')
    await writeFile(join(root, 'cases.tsv'), 'subject\timage\tlabel\nx\timages/a.nii\tl.nii\ny\timages/b.nii\t\n')
    const found = await findCases(root)
    expect(found).toMatchObject({ layout: 'table', findings: [{ code: 'IMAGE_WITHOUT_LABEL', subject: 'y' }] })
    expect(found.cases.map(({ subject }) => subject)).toEqual(['x'])
  })

  test('without the columns, or with rows of other lengths, is an error that says what is missing', async () => {
    const root = await folderWith()
    await writeFile(join(root, 'a.csv'), 'subject,scan,label\nx,y,z\n')
    await expect(findCases(join(root, 'a.csv'))).rejects.toMatchObject({
      code: 'TABLE_MALFORMED',
      message: expect.stringContaining('no column image'),
    })
    await writeFile(join(root, 'b.csv'), 'subject,image,label\nx,y\n')
    await expect(findCases(join(root, 'b.csv'))).rejects.toMatchObject({ code: 'TABLE_MALFORMED' })
  })

  test.each([
    ['that is empty', 'is empty', Buffer.from('\uFEFF\n')],
    ['with only its header', 'has a header line and no rows', Buffer.from('subject,image,label\n')],
    ['in UTF-16', 'is UTF-16 text', Buffer.from('\uFEFFsubject,image,label\na,b,c\n', 'utf16le')],
    ['with a column twice', 'has the column image twice', Buffer.from('subject,image,image,label\na,b,c,d\n')],
  ])('%s is an error that says so', async (_, words, bytes) => {
    const root = await folderWith()
    await writeFile(join(root, 'cases.csv'), bytes)
    for (const source of [root, join(root, 'cases.csv')]) {
      await expect(findCases(source)).rejects.toMatchObject({
        code: 'TABLE_MALFORMED',
        message: expect.stringContaining(`cases.csv ${words}`),
      })
    }
  })

  test('may have empty columns, as spreadsheets leave them', async () => {
    const root = await folderWith()
    await writeFile(join(root, 'cases.csv'), 'subject,image,label,,\na,b,c,,\n')
    expect((await findCases(root)).cases).toHaveLength(1)
  })

  test('is not chosen where a folder holds both cases.csv and cases.tsv', async () => {
    const root = await folderWith('images/a.nii', 'labels/a.nii', 'cases.csv', 'cases.tsv')
    await expect(findCases(root)).rejects.toMatchObject({ code: 'TABLE_AMBIGUOUS', exitCode: 3 })
  })

  test('never fails in any other way, whatever is in it', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('latin1')),
        ),
        (text) => {
          try {
            parseTable(Buffer.from(text), 'x.csv')
          } catch (error) {
            expect(error).toMatchObject({ code: 'TABLE_MALFORMED' })
          }
        },
      ),
    )
  })
})

test('a subject that is passed over is named', async () => {
  const freesurfer = await folderWith('ann/mri/norm.mgz', 'ann/mri/aseg.mgz', 'bob/mri/orig.mgz', 'notes/a.txt')
  expect((await findCases(freesurfer)).findings).toMatchObject([
    { code: 'SUBJECT_PASSED_OVER', subject: 'bob', message: expect.stringContaining('bob/mri has none of norm.mgz') },
  ])
  const bids = await folderWith(
    'sub-1/ses-1/anat/sub-1_ses-1_T1w.nii',
    'sub-1/ses-pre-op/anat/sub-1_ses-pre-op_T1w.nii',
    'sub-A-2/ses-1/anat/sub-A-2_ses-1_T1w.nii',
    'sub-list.txt',
    'derivatives/sub-1_ses-1_dseg.nii',
  )
  const { cases, findings } = await findCases(bids)
  expect(cases).toHaveLength(1)
  expect(findings).toMatchObject([
    { code: 'SUBJECT_PASSED_OVER', subject: 'sub-A-2', message: expect.stringContaining('letters and digits') },
    { code: 'SUBJECT_PASSED_OVER', subject: 'sub-1', message: expect.stringContaining('sub-1/ses-pre-op') },
  ])
})

test('a folder without pairs is an error that says what was looked for and what is there', async () => {
  const root = await folderWith('scans/a.nii.gz', 'readme.txt')
  const error = await findCases(root).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'DATASET_NO_PAIRS', exitCode: 3 })
  const { message } = error as Error
  for (const part of ['scans/', 'readme.txt', 'images/', 'mri/', 'derivatives', 'cases.tsv'])
    expect(message).toContain(part)
})

test('a source that does not exist is said so', async () => {
  await expect(findCases('/no/such/folder')).rejects.toMatchObject({ code: 'SOURCE_NOT_FOUND' })
})

test('a dataset that split made is no source, nor is a part of it', async () => {
  const root = await folderWith('images/a.nii.gz', 'labels/a.nii.gz')
  await writeFile(join(root, 'dataset.json'), '{"name":"nnU-Net"}')
  expect((await findCases(root)).cases).toHaveLength(1)
  await writeFile(join(root, 'dataset.json'), '{\n  "format": "meshfl-dataset/1"}')
  for (const source of [root, join(root, 'dataset.json')]) {
    await expect(findCases(source)).rejects.toMatchObject({ code: 'SOURCE_IS_DATASET', exitCode: 3 })
  }
})

test('a dataset is named for its source, and for the folder of a table of a common name', () => {
  const names = {
    '/data/clinic': 'clinic',
    '/data/clinic/cases.tsv': 'clinic',
    '/data/clinic/Participants.CSV': 'clinic',
    '/data/clinic/adults.csv': 'adults',
    '/data/clinic.csv/cases': 'cases',
    '/cases.tsv': 'cases',
  }
  for (const [source, name] of Object.entries(names)) expect(sourceName(source)).toBe(name)
})

test('file names of cases are unique on any file system, and never leave their folder', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.string(), fc.constantFrom('../x', 'a/b', 'A', 'a', '.', '')), { maxLength: 20 }),
      (list) => {
        const ids = caseIds(list.map((subject) => ({ subject, image: '', label: '', columns: {} })))
        expect(new Set(ids.map((id) => id.toLowerCase())).size).toBe(list.length)
        for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9_][A-Za-z0-9._-]*$/)
      },
    ),
  )
})
