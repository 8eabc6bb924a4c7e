import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Dataset, type DatasetManifest, makeBrains, openDataset, prepareDataset } from '@meshfl/dataset'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { beginCell, type Cell, endCell, planCells, recordBefore } from './experiment-cells.js'

let dataset: string
beforeAll(async () => {
  const source = join(mkdtempSync(join(tmpdir(), 'meshfl-cells-source-')), 'scans')
  await makeBrains({ out: source, count: 4, seed: 9, shape: [16, 16, 16], voxelSizeMm: 12 })
  dataset = join(mkdtempSync(join(tmpdir(), 'meshfl-cells-dataset-')), 'dataset')
  await prepareDataset({
    ...{
      source,
      out: dataset,
      labelMap: 'gw3',
      ratios: [0.5, 0.25, 0.25],
      partition: 'iid',
      seed: 0,
      toolVersion: '0',
    },
    conform: { mode: 'niivue', shape: [16, 16, 16], voxelSizeMm: 12 },
  })
})

let out: string
beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), 'meshfl-cells-'))
})

async function planOne(how: 'train' | 'simulate' = 'train', study = {}, scored?: Dataset): Promise<Cell> {
  const arm = { name: 'one', how: 'train' as const, dataset, study: { rounds: 1, ...study } }
  const plan = { dataset, split: 'test' as const, arms: [arm], seeds: [0] }
  const [cell] = await planCells(plan, scored ?? (await openDataset(dataset)), out)
  return { ...cell!, arm: { ...arm, how } }
}

/** Does something with the dataset's manifest changed, and changes it back. */
async function withManifest<T>(change: (manifest: DatasetManifest) => void, work: () => Promise<T>): Promise<T> {
  const file = join(dataset, 'dataset.json')
  const text = readFileSync(file, 'utf8')
  const manifest = JSON.parse(text)
  change(manifest)
  writeFileSync(file, JSON.stringify(manifest))
  try {
    return await work()
  } finally {
    writeFileSync(file, text)
  }
}

/** As a run has it from its start on. */
function startRun({ folder }: Cell): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'study.yaml'), '')
}
const wasm = { engine: 'wasm simd fp32', allowEngineChange: false }

describe('a cell', () => {
  test('is of the same dataset wherever its scans came from, and of another one with other voxels', async () => {
    const { datasetSha256 } = await planOne()
    const moved = await withManifest(
      ({ cases }) => {
        for (const one of cases) one.source.image = `elsewhere/${one.source.image}`
      },
      () => planOne(),
    )
    expect(moved.datasetSha256).toBe(datasetSha256)
    const other = await withManifest(
      ({ cases }) => {
        cases[0]!.labelSha256 = '0'.repeat(64)
      },
      () => planOne(),
    )
    expect(other.datasetSha256).not.toBe(datasetSha256)
  })

  test('that was interrupted is held to what it was begun with', async () => {
    const cell = await planOne('simulate')
    const begun = await beginCell(cell, undefined, wasm)
    // Nothing has begun in its folder.
    expect(await recordBefore({ ...cell, datasetSha256: 'other' })).toBeUndefined()
    startRun(cell)
    expect(await recordBefore(cell)).toEqual(begun)
    const { arm, study } = cell
    for (const other of [
      { datasetSha256: 'other' },
      { study: { ...study, rounds: 2 } },
      { arm: { ...arm, how: 'train' as const } },
    ])
      await expect(recordBefore({ ...cell, ...other })).rejects.toMatchObject({ code: 'EXPERIMENT_CHANGED' })
    rmSync(`${cell.folder}.json`)
    await expect(recordBefore(cell)).rejects.toMatchObject({ code: 'EXPERIMENT_CHANGED' })
  })

  test('is not begun on a dataset that was prepared again since it was planned', async () => {
    const cell = await planOne()
    const beginning = withManifest(
      ({ cases }) => cases.reverse(),
      () => beginCell(cell, undefined, wasm),
    )
    await expect(beginning).rejects.toMatchObject({ code: 'EXPERIMENT_CHANGED' })
  })

  test('notes what it learns from, or is chosen by in its fold, and is scored on', async () => {
    const { manifest } = await openDataset(dataset)
    const of = (split: string) => manifest.cases.findIndex((one) => one.split === split)
    const [trained, chosen] = [of('train'), of('valid')]
    const [learned, chose] = [trained, chosen].map((i) => manifest.cases[i]!.id)
    const scored = await withManifest(
      ({ cases }) => {
        for (const i of [trained, chosen]) cases[i]!.split = 'test'
      },
      () => openDataset(dataset),
    )
    const notes = (by: string, from: string): string[] => [
      `The model was trained on scans that it is scored on here: ${from}.`,
      `The model was chosen by scans that it is scored on here: ${by}.`,
    ]
    expect((await planOne('train', {}, scored)).notes).toEqual(notes(chose!, learned!))
    const inFold = (fold: number) =>
      withManifest(
        (whole) => {
          whole.folds = 2
          for (const [i, one] of whole.cases.entries())
            if (one.split !== 'test') Object.assign(one, { split: 'train', fold: i === chosen ? 0 : 1 })
        },
        () => planOne('train', { fold }, scored),
      )
    const [zero, one] = [await inFold(0), await inFold(1)]
    expect(zero.notes).toEqual(notes(chose!, learned!))
    expect(one.notes).toEqual(notes(learned!, chose!))
    expect(one.datasetSha256).not.toBe(zero.datasetSha256)
  })

  test('has all engines that trained it, in their order', async () => {
    const cell = await planOne()
    const cpu = { engine: 'cpu avx512 bf16', allowEngineChange: false }
    const begun = await beginCell(cell, undefined, cpu)
    // Stopped before its first checkpoint, it was trained by none.
    expect((await beginCell(cell, begun, wasm)).engines).toEqual([wasm.engine])
    startRun(cell)
    writeFileSync(join(cell.folder, 'checkpoint.safetensors'), '')
    expect((await beginCell(cell, begun, cpu)).engines).toEqual([cpu.engine])
    // Training refuses it.
    expect((await beginCell(cell, begun, wasm)).engines).toEqual([cpu.engine])
    const changed = await beginCell(cell, begun, { ...wasm, allowEngineChange: true })
    expect(await recordBefore(cell)).toEqual(changed)
    const { engines } = await endCell(cell, changed, { rounds: 1, modelSha256: '', engine: wasm.engine })
    expect(engines).toEqual([cpu.engine, wasm.engine])
  })
})
