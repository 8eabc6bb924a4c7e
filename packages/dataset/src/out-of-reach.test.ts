import { chmod, mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { findCases } from './find-cases.js'
import { folderWith, pairs } from './small-brains.test-support.js'

describe.skipIf(process.platform === 'win32')('links and names', () => {
  test('of subjects that lead nowhere are errors of those subjects', async () => {
    const freesurfer = await folderWith('ann/mri/norm.mgz', 'ann/mri/aseg.mgz', 'bob/touch/x')
    await symlink('nowhere', join(freesurfer, 'bob/mri'))
    for (const name of ['cem', 'fsaverage', 'lh.EC_average', 'participants.tsv', '.#lock'])
      await symlink('nowhere', join(freesurfer, name))
    const bids = await folderWith(
      'sub-a/anat/sub-a_T1w.nii',
      'derivatives/sub-a_dseg.nii',
      'sub-c/x',
      'sub-d/ses-1/x',
      'sub-e/ses-1/x',
    )
    for (const name of ['sub-b', 'sub-c/anat', 'sub-d/ses-1/anat', 'sub-e/ses-2', 'sub-list.txt'])
      await symlink('nowhere', join(bids, name))
    for (const [root, lost] of [
      [freesurfer, { cem: 'cem', 'bob/mri': 'bob' }],
      [bids, { 'sub-b': 'sub-b', 'sub-c/anat': 'sub-c', 'sub-d/ses-1/anat': 'sub-d', 'sub-e/ses-2': 'sub-e' }],
    ] as const) {
      const { cases, findings } = await findCases(root)
      expect(cases).toHaveLength(1)
      expect(findings).toMatchObject(
        Object.entries(lost).map(([path, subject]) => ({
          level: 'error',
          code: 'SUBJECT_OUT_OF_REACH',
          message: `${path} is a link to nothing`,
          subject,
        })),
      )
    }
  })

  test('of subjects that are not UTF-8 are errors of those subjects', async (context) => {
    const freesurfer = await folderWith('ann/mri/norm.mgz', 'ann/mri/aseg.mgz')
    const bids = await folderWith('sub-a/anat/sub-a_T1w.nii', 'derivatives/sub-a_dseg.nii')
    for (const [root, prefix] of [
      [freesurfer, 'J'],
      [bids, 'sub-J'],
    ] as const) {
      try {
        await mkdir(Buffer.concat([Buffer.from(join(root, prefix)), Buffer.from([0xf6]), Buffer.from('rg')]))
      } catch (error) {
        context.skip(`this file system takes no such name: ${String(error)}`)
      }
      const { findings } = await findCases(root)
      expect(findings).toMatchObject([
        {
          level: 'error',
          code: 'SUBJECT_OUT_OF_REACH',
          subject: `${prefix}\uFFFDrg`,
          message: expect.stringContaining('not UTF-8'),
        },
      ])
    }
  })

  test('to a device or a pipe are no files', async () => {
    const root = await folderWith('images/a.nii', 'labels/a.nii', 'labels/b.nii')
    await symlink('/dev/null', join(root, 'images/b.nii'))
    const { cases, findings } = await findCases(root)
    expect(cases).toHaveLength(1)
    expect(findings).toMatchObject([{ code: 'LABEL_WITHOUT_IMAGE', subject: 'b' }])
  })

  test('that point upwards are not followed: a label is found once, where it lies', async () => {
    const root = await folderWith('sub-a/anat/sub-a_T1w.nii', 'derivatives/seg/sub-a/anat/sub-a_dseg.nii')
    await symlink('..', join(root, 'derivatives/again'))
    await symlink('../..', join(root, 'derivatives/seg/sub-a/top'))
    await symlink('seg/sub-a', join(root, 'derivatives/alias'))
    const found = await findCases(root)
    expect(pairs(found, root)).toEqual(['sub-a: sub-a/anat/sub-a_T1w.nii + derivatives/seg/sub-a/anat/sub-a_dseg.nii'])
    expect(found.findings).toEqual([])
  })
})

describe('a folder that cannot be looked into', () => {
  const MODES_DO_NOT_BIND = process.platform === 'win32' || process.getuid?.() === 0
  const closed = async (path: string): Promise<string> => {
    await chmod(path, 0o000)
    return path
  }

  test('costs its own subject and is named', async (context) => {
    if (MODES_DO_NOT_BIND) context.skip('permissions of folders do not bind this user')
    const freesurfer = await folderWith('ann/mri/norm.mgz', 'ann/mri/aseg.mgz', 'bob/mri/norm.mgz')
    const bids = await folderWith('sub-ann/anat/sub-ann_T1w.nii', 'sub-bob/anat/x', 'derivatives/sub-ann_dseg.nii')
    const shut = [await closed(join(freesurfer, 'bob/mri')), await closed(join(bids, 'sub-bob/anat'))]
    for (const [root, folder, subject] of [
      [freesurfer, 'bob/mri', 'bob'],
      [bids, 'sub-bob/anat', 'sub-bob'],
    ] as const) {
      const { cases, findings } = await findCases(root)
      expect(cases).toHaveLength(1)
      expect(findings).toEqual([
        {
          level: 'error',
          code: 'FOLDER_NOT_READABLE',
          message: `cannot look into ${folder} (EACCES)`,
          subject,
          hint: 'check the permissions of the folder',
        },
      ])
    }
    for (const path of shut) await chmod(path, 0o700)
  })

  test('costs its own subject, too, where it is reached by a link', async (context) => {
    if (MODES_DO_NOT_BIND) context.skip('permissions of folders do not bind this user')
    const root = await folderWith('ann/mri/norm.mgz', 'ann/mri/aseg.mgz')
    const elsewhere = await folderWith('private/bob/mri/norm.mgz')
    await symlink(join(elsewhere, 'private/bob'), join(root, 'bob'))
    const shut = await closed(join(elsewhere, 'private'))
    const { findings } = await findCases(root)
    await chmod(shut, 0o700)
    expect(findings).toMatchObject([{ level: 'error', code: 'FOLDER_NOT_READABLE', subject: 'bob' }])
  })

  test('of derivatives is passed over with a warning', async (context) => {
    if (MODES_DO_NOT_BIND) context.skip('permissions of folders do not bind this user')
    const root = await folderWith('sub-a/anat/sub-a_T1w.nii', 'derivatives/sub-a_dseg.nii', 'derivatives/private/x')
    const shut = await closed(join(root, 'derivatives/private'))
    const { cases, findings } = await findCases(root)
    await chmod(shut, 0o700)
    expect(cases).toHaveLength(1)
    expect(findings).toMatchObject([{ level: 'warning', message: 'cannot look into derivatives/private (EACCES)' }])
  })
})
