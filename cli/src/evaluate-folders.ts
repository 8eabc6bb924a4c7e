import { basename, resolve } from 'node:path'
import { MeshflError } from '@meshfl/core'
import { subjectOfName } from '@meshfl/dataset'
import {
  type CaseMetrics,
  type CaseSlices,
  checkBaseline,
  checkGate,
  checkSameGrid,
  countText,
  evaluateCaseInTurns,
  type Pair,
  pairingNotes,
  pairPredictions,
  sliceImages,
} from '@meshfl/evaluation'
import { readGeometry, readVolume, type Volume, voxelSize, voxelVolumeMl } from '@meshfl/volume'
import { createWorstSlices, type Evaluation, type EvaluationOptions, missingHere } from './evaluation.js'
import { VERSION } from './program.js'

/** Where the report goes when nothing else is said. */
export const FOLDER = 'report'

export interface FolderEvaluationOptions extends EvaluationOptions {
  pred: string
  truth: string
  classNames: readonly string[]
  /** Which volume of 4D files, from 0. */
  volume?: number | undefined
  nanToZero: boolean
}

/**
 * Scores a folder of label maps against a folder of true ones, paired by name. A pair that cannot be scored is left out and
 * noted.
 * @throws MeshflError that of the first pair when none can be scored, and those of `pairPredictions`
 */
export async function evaluateFolders(options: FolderEvaluationOptions): Promise<Evaluation> {
  const { classNames, signal, surface } = options
  for (const gate of options.gates) checkGate(gate, classNames, surface)
  const pairing = await pairPredictions(options.pred, options.truth)
  const { baseline, maxDrop, empty } = options
  const subjects = pairing.pairs.map(({ subject }) => subject)
  if (baseline) checkBaseline(baseline, { subjects, classNames, empty })
  const notes = pairingNotes(pairing)
  for (const note of notes) options.onNote(note, 'warn')
  const missing = missingHere(options, [...subjects, ...pairing.withoutPrediction], notes)
  const measured: CaseMetrics[] = []
  const slices = createWorstSlices()
  const failures: { subject: string; error: MeshflError }[] = []
  for (const [index, pair] of pairing.pairs.entries()) {
    signal.throwIfAborted()
    try {
      const { metrics, draw, zeroed } = await scorePair(pair, options)
      for (const note of zeroed) {
        notes.push(note)
        options.onNote(note, 'warn')
      }
      measured.push(metrics)
      slices.offer(metrics, draw)
    } catch (error) {
      if (!(error instanceof MeshflError) || error.kind !== 'data') throw error
      failures.push({ subject: pair.subject, error })
      const note = `left out: ${pair.subject}: ${error.message} [${error.code}]`
      notes.push(note)
      options.onNote(note, 'error')
    }
    options.onCase(index + 1, pairing.pairs.length)
  }
  const [first] = failures
  if (first && measured.length === 0) {
    throw new MeshflError(first.error.code, `no case can be scored; ${first.subject}: ${first.error.message}`, {
      ...(first.error.hint ? { hint: first.error.hint } : {}),
      data: { leftOut: failures.map(({ subject }) => subject) },
      cause: first.error,
    })
  }
  return {
    input: {
      tool: `meshfl ${VERSION}`,
      dataset: { name: basename(resolve(options.truth)) },
      classes: classNames.map((name, value) => ({ value, name })),
      conventions: { empty, surface },
      cases: measured,
      gates: options.gates,
      baseline,
      maxDrop,
      notes,
    },
    slices: slices.worst(),
    leftOut: [
      ...failures.map(({ subject, error }) => ({
        ...{ subject, why: 'failed' as const, reason: `${error.message} [${error.code}]`, hint: error.hint },
      })),
      ...pairing.withoutPrediction.map((subject) => ({
        ...{ subject, why: 'no-prediction' as const, reason: 'it has a truth and no prediction' },
        hint: 'predict what has a truth and no prediction, or take its truth out of --truth',
      })),
      ...pairing.withoutTruth.map((subject) => ({
        ...{ subject, why: 'no-truth' as const, reason: 'it has a prediction and no truth' },
      })),
      ...missing,
    ],
    folder: FOLDER,
  }
}

async function scorePair(
  { subject, prediction: predictionPath, truth: truthPath }: Pair,
  options: FolderEvaluationOptions,
): Promise<{ metrics: CaseMetrics; draw(): CaseSlices; zeroed: string[] }> {
  const { classNames, empty, surface } = options
  const paths = [predictionPath, truthPath] as const
  const [prediction, truth] = await Promise.all([readLabel(paths[0], options), readLabel(paths[1], options)])
  checkSameGrid(subject, prediction, truth)
  const metrics = await evaluateCaseInTurns(
    {
      subject,
      scanOf: subjectOfName(subject).subject,
      classNames,
      truth: truth.voxels,
      prediction: prediction.voxels,
      voxelVolumeMl: voxelVolumeMl(truth.affine),
      empty,
      surfaces: surface && { convention: surface, shape: truth.shape, voxelSizeMm: voxelSize(truth.affine) },
    },
    options.signal,
  )
  const draw = (): CaseSlices => {
    const labels = Uint8Array.from(truth.voxels)
    const { shape, affine } = truth
    const predicted = Uint8Array.from(prediction.voxels)
    return sliceImages({ subject, image: labels, truth: labels, prediction: predicted, shape, affine })
  }
  const zeroed = [prediction, truth].flatMap((volume, i) =>
    volume.zeroed === undefined
      ? []
      : [
          `the ${['prediction', 'truth'][i]} of ${subject}: NaN or infinity in ${countText(volume.zeroed, 'voxel')} became 0.`,
        ],
  )
  return { metrics, draw, zeroed }
}

/** A 4D prediction often has a 3D truth: only where there is a choice is it made. */
async function readLabel(path: string, { volume, nanToZero }: FolderEvaluationOptions): Promise<Volume> {
  const isSeveral = volume !== undefined && (await readGeometry(path)).volumes > 1
  return readVolume(path, { kind: 'label', nanToZero, ...(isSeveral ? { volume } : {}) })
}
