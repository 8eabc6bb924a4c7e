import { appendFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { recordEvaluation } from './evaluation-history.js'
import { checkSameGrid, pairingNotes, pairPredictions } from './pairs.js'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'meshfl-pairs-'))
})
afterEach(() => rm(folder, { recursive: true }))

async function fill(name: string, files: string[]): Promise<string> {
  const path = join(folder, name)
  await mkdir(path)
  for (const file of files) await writeFile(join(path, file), '')
  return path
}

describe('pairing two folders', () => {
  test('goes by the name without its ending and names what is left over', async () => {
    const predictions = await fill('pred', ['b.nii.gz', 'a.mgz', 'extra.nii', 'volumes.csv', '.hidden.nii'])
    const truths = await fill('truth', ['a.nii.gz', 'b.nii', 'missing.hdr', 'missing.img'])
    const pairing = await pairPredictions(predictions, truths)
    expect(pairing).toEqual({
      pairs: [
        { subject: 'a', prediction: join(predictions, 'a.mgz'), truth: join(truths, 'a.nii.gz') },
        { subject: 'b', prediction: join(predictions, 'b.nii.gz'), truth: join(truths, 'b.nii') },
      ],
      withoutPrediction: ['missing'],
      withoutTruth: ['extra'],
    })
    expect(pairingNotes(pairing)).toEqual([
      '1 left out, a truth without a prediction: missing.',
      '1 left out, a prediction without a truth: extra.',
    ])
  })

  test('takes what meshfl predict writes: the name of the scan and _dseg', async () => {
    const predictions = await fill('pred', ['a_dseg.nii.gz', 'sub-1_T1w_dseg.nii.gz', 'c_dseg.nii.gz', 'c.nii'])
    const truths = await fill('truth', ['a.nii.gz', 'sub-1_dseg.nii.gz', 'c.nii.gz'])
    const { pairs, withoutPrediction, withoutTruth } = await pairPredictions(predictions, truths)
    expect(pairs).toEqual([
      { subject: 'a_dseg', prediction: join(predictions, 'a_dseg.nii.gz'), truth: join(truths, 'a.nii.gz') },
      { subject: 'c', prediction: join(predictions, 'c.nii'), truth: join(truths, 'c.nii.gz') },
      {
        subject: 'sub-1_T1w_dseg',
        prediction: join(predictions, 'sub-1_T1w_dseg.nii.gz'),
        truth: join(truths, 'sub-1_dseg.nii.gz'),
      },
    ])
    expect(withoutPrediction).toEqual([])
    expect(withoutTruth).toEqual(['c_dseg'])
  })

  test('without one name in common is an error that shows names of both', async () => {
    const [predictions, truths] = [await fill('pred', ['x_seg.nii']), await fill('truth', ['x.nii'])]
    await expect(pairPredictions(predictions, truths)).rejects.toMatchObject({
      code: 'EVAL_NO_PAIRS',
      exitCode: 3,
      message: expect.stringMatching(/x_seg.*\(x\)/),
    })
    await expect(pairPredictions(join(folder, 'nowhere'), truths)).rejects.toMatchObject({ code: 'EVAL_NO_PAIRS' })
  })

  test('with one name twice in a folder is an error that shows both', async () => {
    const [predictions, truths] = [await fill('pred', ['x.nii', 'x.nii.gz']), await fill('truth', ['x.nii'])]
    await expect(pairPredictions(predictions, truths)).rejects.toMatchObject({ code: 'EVAL_SAME_NAME' })
  })

  test('a prediction on another grid is refused with both grids, and one within rounding is not', () => {
    const grid = (shape: [number, number, number], shift = 0) => ({
      shape,
      affine: [2, 0, 0, shift, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1],
    })
    expect(() => checkSameGrid('sub-1', grid([4, 4, 4], 0.001), grid([4, 4, 4]))).not.toThrow()
    expect(() => checkSameGrid('sub-1', grid([4, 4, 4], 1), grid([4, 4, 4]))).toThrow(
      /origin \(1, 0, 0\).*origin \(0, 0, 0\)/,
    )
    expect(() => checkSameGrid('sub-1', grid([4, 4, 5]), grid([4, 4, 4]))).toThrow(
      /4 x 4 x 5 voxels of 2 x 2 x 2 mm, RAS/,
    )
  })
})

describe('the count of evaluations', () => {
  test('is of one model on one split of one dataset, and survives on disk', async () => {
    const file = join(folder, 'evaluations.jsonl')
    const entry = { time: '2026-01-01T00:00:00Z', modelSha256: 'm', dataset: 'd', split: 'test' }
    expect(await recordEvaluation(file, entry)).toBe(1)
    expect(await recordEvaluation(file, { ...entry, modelSha256: 'other' })).toBe(1)
    expect(await recordEvaluation(file, { ...entry, split: 'valid' })).toBe(1)
    expect(await recordEvaluation(file, entry)).toBe(2)
  })

  test('loses none of several that are told at once', async () => {
    const file = join(folder, 'evaluations.jsonl')
    const entry = { time: '2026-01-01T00:00:00Z', modelSha256: 'm', dataset: 'd', split: 'test' }
    await Promise.all(Array.from({ length: 8 }, () => recordEvaluation(file, entry)))
    expect(await recordEvaluation(file, entry)).toBe(9)
  })

  test('goes on after a line that a crash cut short', async () => {
    const file = join(folder, 'evaluations.jsonl')
    const entry = { time: '2026-01-01T00:00:00Z', modelSha256: 'm', dataset: 'd', split: 'test' }
    await recordEvaluation(file, entry)
    await appendFile(file, '{"time":"2026')
    expect(await recordEvaluation(file, entry)).toBe(2)
    expect(await recordEvaluation(file, entry)).toBe(3)
  })

  test('does not begin anew in silence when the file is damaged', async () => {
    const file = join(folder, 'evaluations.jsonl')
    await writeFile(file, '{"time":1}\n')
    await expect(
      recordEvaluation(file, { time: '', modelSha256: 'm', dataset: 'd', split: 'test' }),
    ).rejects.toMatchObject({ code: 'EVAL_HISTORY_MALFORMED' })
  })
})
