import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { canonicalJson, explainWriteError, MeshflError, readEventLog, sha256 } from '@meshfl/core'
import { type Dataset, openDataset, type Split } from '@meshfl/dataset'
import type { Engine } from '@meshfl/engine'
import {
  buildReport,
  type CaseMetrics,
  type CaseSlices,
  type Comparison,
  curvesFromEvents,
  type EmptyConvention,
  evaluateCase,
  type Gate,
  pairPredictions,
  type Report,
  type ReportInput,
  reportEvent,
  sliceImages,
  writeReport,
} from '@meshfl/evaluation'
import { readVolume, sameGrid, voxelVolumeMl } from '@meshfl/volume'
import type { Output } from './output.js'
import { VERSION } from './program.js'
import type { TrainedModel } from './trained-model.js'

/** Slices are drawn of the worst cases only, so that report.html stays small. */
const CASES_WITH_SLICES = 12

interface CommonOptions {
  empty: EmptyConvention
  gates: readonly Gate[]
  signal: AbortSignal
  onCase(done: number, total: number): void
}

/** What is known before the report is written: its content, the slices, and how to compare. */
export interface Evaluation {
  input: ReportInput
  slices: CaseSlices[]
  /** Where the report goes when nothing else is said. */
  folder: string
  /** Counts how often this model was scored on this split. */
  record?: { run: string; key: string }
}

export interface ModelEvaluationOptions extends CommonOptions {
  model: TrainedModel
  dataset: string
  split: Split
  engine: Engine
  comparisons?: readonly Comparison[]
}

/**
 * Scores a model on the cases of a split, on the dataset's grid.
 * @throws MeshflError `EVAL_NO_CASES` when the split is empty
 */
export async function evaluateModel(options: ModelEvaluationOptions): Promise<Evaluation> {
  const { model, engine, split, signal } = options
  const dataset = await openDataset(options.dataset)
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
  const session = await engine.createSession(model.spec, dataset.grid)
  const measured: CaseMetrics[] = []
  const slices = createWorstSlices()
  try {
    for (const item of cases) {
      const { image, label, affine } = await dataset.loadCase(item)
      const { labels } = await session.forward(model.state, { images: image, count: 1 }, { signal })
      const metrics = evaluateCase({
        subject: item.subject,
        site: item.site,
        classNames,
        truth: label,
        prediction: labels,
        voxelVolumeMl: voxelVolumeMl(affine),
        empty: options.empty,
      })
      measured.push(metrics)
      slices.offer(metrics, () =>
        sliceImages({
          subject: item.subject,
          image,
          truth: label,
          prediction: labels,
          shape: dataset.manifest.conform.shape,
          affine,
        }),
      )
      options.onCase(measured.length, cases.length)
    }
  } finally {
    session.dispose()
  }
  const datasetSha256 = datasetHash(dataset)
  const key = sha256(canonicalJson({ model: model.sha256, dataset: datasetSha256, split }))
  return {
    input: {
      tool: `meshfl ${VERSION}`,
      engine: {
        name: engine.name,
        device: engine.device.name,
        instructionSet: engine.device.instructionSet,
        precision: 'fp32',
      },
      model: { name: basename(resolve(model.run ?? model.file)), sha256: model.sha256 },
      dataset: { name: dataset.manifest.name, sha256: datasetSha256 },
      split,
      classes,
      conventions: { empty: options.empty },
      evaluations: model.run ? countEvaluations(model.run, key) + 1 : 1,
      cases: measured,
      gates: options.gates,
      comparisons: options.comparisons,
      curves: model.run ? curvesFromEvents(readEventLog(join(model.run, 'events.jsonl'))) : undefined,
    },
    slices: slices.worst(),
    folder: model.run ? join(model.run, 'report') : join(dirname(model.file), 'report'),
    ...(model.run ? { record: { run: model.run, key } } : {}),
  }
}

export interface FolderEvaluationOptions extends CommonOptions {
  pred: string
  truth: string
  classNames: readonly string[]
}

/** Scores a folder of label maps against a folder of true ones, paired by name. */
export async function evaluateFolders(options: FolderEvaluationOptions): Promise<Evaluation> {
  const { classNames, signal } = options
  const { pairs, withoutPrediction, withoutTruth } = await pairPredictions(options.pred, options.truth)
  const measured: CaseMetrics[] = []
  const slices = createWorstSlices()
  for (const { subject, prediction: predictionPath, truth: truthPath } of pairs) {
    signal.throwIfAborted()
    const [prediction, truth] = await Promise.all(
      [predictionPath, truthPath].map((path) => readVolume(path, { kind: 'label' })),
    )
    if (!sameGrid(prediction!, truth!)) {
      throw new MeshflError(
        'EVAL_GRID_MISMATCH',
        `${predictionPath} is ${prediction!.shape.join('x')}, ${truthPath} is ${truth!.shape.join('x')}, or their affines differ`,
        {
          hint: 'bring the prediction to the grid of the truth: meshfl predict writes label maps in the space of the scan',
        },
      )
    }
    const metrics = evaluateCase({
      subject,
      classNames,
      truth: truth!.voxels,
      prediction: prediction!.voxels,
      voxelVolumeMl: voxelVolumeMl(truth!.affine),
      empty: options.empty,
    })
    measured.push(metrics)
    slices.offer(metrics, () => {
      const labels = [truth!, prediction!].map(({ voxels }) => Uint8Array.from(voxels))
      return sliceImages({
        subject,
        image: labels[0]!,
        truth: labels[0]!,
        prediction: labels[1]!,
        shape: truth!.shape,
        affine: truth!.affine,
      })
    })
    options.onCase(measured.length, pairs.length)
  }
  return {
    input: {
      tool: `meshfl ${VERSION}`,
      dataset: { name: basename(resolve(options.truth)) },
      classes: classNames.map((name, value) => ({ value, name })),
      conventions: { empty: options.empty },
      cases: measured,
      gates: options.gates,
      notes: [
        ...withoutPrediction.map((subject) => `${subject} has a truth and no prediction: left out`),
        ...withoutTruth.map((subject) => `${subject} has a prediction and no truth: left out`),
      ],
    },
    slices: slices.worst(),
    folder: 'report',
  }
}

/** Builds and writes the report, counts the evaluation, and prints the result. */
export async function finishEvaluation(
  evaluation: Evaluation,
  out: string | undefined,
  output: Output,
): Promise<Report> {
  const folder = out ?? evaluation.folder
  const report = buildReport(evaluation.input)
  await writeReport(folder, report, evaluation.slices)
  if (evaluation.record) recordEvaluation(evaluation.record.run, evaluation.record.key)
  const { mean } = report.summary.foregroundDice
  const perClass = report.classes
    .slice(1)
    .map(({ name }) => `${name} ${format(report.summary.perClass[name]?.dice?.mean ?? null)}`)
  output.result(
    reportEvent(report, folder),
    [
      `foreground Dice ${format(mean)} over ${report.cases.length} cases (${perClass.join(', ')})`,
      ...(report.comparisons ?? []).map(({ name, dice }) => `${name}: foreground Dice ${format(dice.foregroundDice)}`),
      ...(report.gate === 'none' ? [] : [`gate ${report.gate}`]),
      `report: ${join(folder, 'report.html')}`,
    ].join('\n'),
  )
  return report
}

function format(value: number | null): string {
  return value === null ? 'undefined' : value.toFixed(4)
}

function datasetHash({ manifest }: Dataset): string {
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

/** The slices of the cases with the lowest foreground Dice; those of the others are let go at once. */
function createWorstSlices() {
  const held: { dice: number; slices: CaseSlices }[] = []
  return {
    offer(metrics: CaseMetrics, draw: () => CaseSlices): void {
      const dice = metrics.foregroundDice ?? -1
      if (held.length >= CASES_WITH_SLICES && dice >= held.at(-1)!.dice) return
      held.push({ dice, slices: draw() })
      held.sort((a, b) => a.dice - b.dice)
      held.splice(CASES_WITH_SLICES)
    },
    worst: (): CaseSlices[] => held.map((item) => item.slices),
  }
}

const EVALUATIONS_FILE = 'evaluations.txt'

function countEvaluations(run: string, key: string): number {
  const file = join(run, EVALUATIONS_FILE)
  return existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line === key).length
    : 0
}

function recordEvaluation(run: string, key: string): void {
  const file = join(run, EVALUATIONS_FILE)
  try {
    mkdirSync(run, { recursive: true })
    appendFileSync(file, `${key}\n`)
  } catch (error) {
    throw explainWriteError(error, file)
  }
}
