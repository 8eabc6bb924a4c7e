import { existsSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { canonicalJson, type EventSink, MeshflError, readEventLog, sha256 } from '@meshfl/core'
import { checkFoldChosen, type Dataset, openDataset, type Split } from '@meshfl/dataset'
import type { Engine } from '@meshfl/engine'
import {
  type Baseline,
  type CaseMetrics,
  type Comparison,
  checkBaseline,
  checkGate,
  evaluateCaseInTurns,
  runFigures,
  sliceImages,
} from '@meshfl/evaluation'
import { voxelSize, voxelVolumeMl } from '@meshfl/volume'
import { createWorstSlices, type Evaluation, type EvaluationOptions, missingHere } from './evaluation.js'
import { memoryEvent } from './memory-event.js'
import { VERSION } from './program.js'
import { readRunStudy } from './run-folder.js'
import { trainedCasesNotes } from './trained-cases.js'
import type { TrainedModel } from './trained-model.js'

export interface ModelEvaluationOptions extends EvaluationOptions {
  model: TrainedModel
  dataset: string
  split: Split
  /** Of a dataset with folds; absent: that of the model's run. */
  fold?: number | undefined
  engine: Engine
  comparisons?: readonly Comparison[]
  /** Told what the engine's buffers will take. */
  onSession: EventSink
}

/**
 * Scores a model on the cases of a split, on the dataset's grid.
 * @throws MeshflError `FOLD_INVALID`, `EVAL_NO_CASES` when the split is empty
 */
export async function evaluateModel(options: ModelEvaluationOptions): Promise<Evaluation> {
  const { model, engine, split, signal } = options
  const { dataset, fold } = await openScoredDataset(options)
  const cases = dataset.cases(split)
  if (cases.length === 0) {
    throw new MeshflError('EVAL_NO_CASES', `the ${split} split of ${options.dataset} has no cases`, {
      hint: 'choose another --split, or prepare the dataset with other --ratios',
    })
  }
  const classes = dataset.manifest.labelMap.classes
  if (classes.length !== model.spec.classes) {
    throw new MeshflError(
      'DATASET_STUDY_MISMATCH',
      `${options.dataset} has ${classes.length} classes, the model ${model.spec.classes}`,
      {
        hint: 'score it on a dataset with the label map that it was trained with',
      },
    )
  }
  const classNames = classes.map((item) => item.name)
  const trained = model.data.classNames
  const inOtherOrder = trained.every((name) => classNames.includes(name)) && trained.join() !== classNames.join()
  if (inOtherOrder) {
    throw new MeshflError(
      'DATASET_STUDY_MISMATCH',
      `the classes of ${options.dataset} are ${classNames.join(', ')}; the model has them as ${trained.join(', ')}`,
      { hint: 'score it on a dataset whose label map gives each class the value that it was trained with' },
    )
  }
  const { baseline, maxDrop, empty, surface } = options
  for (const gate of options.gates) checkGate(gate, classNames, surface)
  const subjects = cases.map(({ id }) => id)
  if (baseline) checkBaseline(baseline, { subjects, classNames, empty })
  const sha256OfDataset = datasetHash(dataset)
  const notes = [
    ...preparationNotes(model, dataset),
    ...(await trainedCasesNotes(model, cases, split)),
    ...baselineNotes(baseline, sha256OfDataset),
  ]
  for (const note of notes) options.onNote(note, 'warn')
  const missing = missingHere(options, subjects, notes)
  const session = await engine.createSession(model.spec, dataset.grid, { purpose: 'predict' })
  options.onSession(memoryEvent(engine, session, model.spec, 'predict'))
  const measured: CaseMetrics[] = []
  const { shape } = dataset.manifest.conform
  const slices = createWorstSlices()
  try {
    for (const item of cases) {
      const { image, label, affine } = await dataset.loadCase(item)
      const { labels } = await session.forward(model.state, { images: image, count: 1 }, { signal })
      const metrics = await evaluateCaseInTurns(
        {
          subject: item.id,
          scanOf: item.subject,
          site: item.site,
          classNames,
          truth: label,
          prediction: labels,
          voxelVolumeMl: voxelVolumeMl(affine),
          empty,
          surfaces: surface && { convention: surface, shape, voxelSizeMm: voxelSize(affine) },
        },
        signal,
      )
      measured.push(metrics)
      slices.offer(metrics, () =>
        sliceImages({
          subject: item.id,
          image,
          truth: label,
          prediction: labels,
          shape,
          affine,
        }),
      )
      options.onCase(measured.length, cases.length)
    }
  } finally {
    session.dispose()
  }
  const events = model.run ? readEventLog(join(model.run, 'events.jsonl')) : []
  return {
    input: {
      tool: `meshfl ${VERSION}`,
      engine: {
        name: engine.name,
        device: engine.device.name,
        instructionSet: engine.device.instructionSet,
        precision: engine.precision,
      },
      model: { name: basename(resolve(model.run ?? model.file)), sha256: model.sha256 },
      dataset: {
        name: `${dataset.manifest.name}${fold === undefined ? '' : ` (fold ${fold})`}`,
        sha256: sha256OfDataset,
      },
      split,
      classes,
      conventions: { empty, surface },
      cases: measured,
      gates: options.gates,
      comparisons: options.comparisons,
      baseline,
      maxDrop,
      notes,
      ...runFigures(events),
    },
    slices: slices.worst(),
    leftOut: missing,
    folder: reportFolder(model, split),
    ...(model.run ? { run: model.run } : {}),
  }
}

/** Test is the same in every fold, and so is its hash: how often it was scored is counted by that. */
async function openScoredDataset(options: ModelEvaluationOptions): Promise<{ dataset: Dataset; fold?: number }> {
  const whole = await openDataset(options.dataset)
  const hasFolds = options.split !== 'test' && whole.manifest.folds !== undefined
  const fold = options.fold ?? (hasFolds ? await foldOfRun(options.model) : undefined)
  if (hasFolds) checkFoldChosen(whole.manifest, fold)
  return fold === undefined
    ? { dataset: whole }
    : { dataset: await openDataset(options.dataset, undefined, fold), fold }
}

async function foldOfRun({ run }: TrainedModel): Promise<number | undefined> {
  return run !== undefined && existsSync(join(run, 'study.yaml')) ? (await readRunStudy(run)).fold : undefined
}

/** Where a model's report goes when nothing else is said. */
export function reportFolder({ run, file }: TrainedModel, split: Split): string {
  return join(run ?? dirname(file), `report-${split}`)
}

/** Scans prepared in another way than those that the model has learned from: it can be scored on them, and may do worse. */
function preparationNotes({ data }: TrainedModel, { manifest }: Dataset): string[] {
  const { mode, voxelSizeMm, orientation } = manifest.conform
  const differences: string[] = []
  const trainedMm = data.voxelSizeMm ?? voxelSizeMm
  if (Math.abs(voxelSizeMm - trainedMm) > 0.01 * trainedMm) {
    differences.push(`voxels of ${voxelSizeMm} mm (the model: ${trainedMm} mm)`)
  }
  if (data.conform !== undefined && data.conform.mode !== mode) {
    differences.push(`scans conformed as ${mode} (the model: ${data.conform.mode})`)
  }
  const trainedOrientation = data.conform?.orientation
  if (mode === 'none' && trainedOrientation !== undefined && trainedOrientation !== orientation) {
    differences.push(`scans that lie ${orientation} (the model: ${trainedOrientation})`)
  }
  const names = manifest.labelMap.classes.map(({ name }) => name)
  const isNamed = data.classNames.some((name, i) => name !== `class ${i}`)
  if (isNamed && names.join() !== data.classNames.join()) {
    differences.push(`the classes ${names.join(', ')} (the model: ${data.classNames.join(', ')})`)
  }
  if (differences.length === 0) return []
  return [`${manifest.name} has ${differences.join(' and ')}, so these figures may not be what the model can do.`]
}

/** Cases of one name may yet be others: then a difference is not the model's alone. */
function baselineNotes(baseline: Baseline | undefined, sha256OfDataset: string): string[] {
  const theirs = baseline?.dataset.sha256
  if (theirs === undefined || theirs === sha256OfDataset) return []
  return [
    `The baseline was scored on another version of the dataset (${baseline!.dataset.name}, ${theirs.slice(0, 12)}; here ${sha256OfDataset.slice(0, 12)}): cases are compared by their names.`,
  ]
}

/** Names what was scored: every case with its split and the hashes of its voxels. */
export function datasetHash({ manifest }: Pick<Dataset, 'manifest'>): string {
  return sha256(
    canonicalJson(
      manifest.cases.map(({ subject, split, imageSha256, labelSha256 }) => ({
        subject,
        split,
        imageSha256,
        labelSha256,
      })),
    ),
  )
}
