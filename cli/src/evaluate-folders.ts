import { basename, resolve } from 'node:path'
import {
  type CaseMetrics,
  checkGate,
  checkSameGrid,
  evaluateCase,
  pairingNotes,
  pairPredictions,
  sliceImages,
} from '@meshfl/evaluation'
import { readVolume, voxelVolumeMl } from '@meshfl/volume'
import { createWorstSlices, type Evaluation, type EvaluationOptions } from './evaluation.js'
import { VERSION } from './program.js'

export interface FolderEvaluationOptions extends EvaluationOptions {
  pred: string
  truth: string
  classNames: readonly string[]
}

/** Scores a folder of label maps against a folder of true ones, paired by name. */
export async function evaluateFolders(options: FolderEvaluationOptions): Promise<Evaluation> {
  const { classNames, signal } = options
  for (const gate of options.gates) checkGate(gate, classNames)
  const pairing = await pairPredictions(options.pred, options.truth)
  const measured: CaseMetrics[] = []
  const slices = createWorstSlices()
  for (const { subject, prediction: predictionPath, truth: truthPath } of pairing.pairs) {
    signal.throwIfAborted()
    const [prediction, truth] = await Promise.all(
      [predictionPath, truthPath].map((path) => readVolume(path, { kind: 'label' })),
    )
    checkSameGrid(subject, prediction!, truth!)
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
    options.onCase(measured.length, pairing.pairs.length)
  }
  return {
    input: {
      tool: `meshfl ${VERSION}`,
      dataset: { name: basename(resolve(options.truth)) },
      classes: classNames.map((name, value) => ({ value, name })),
      conventions: { empty: options.empty },
      cases: measured,
      gates: options.gates,
      notes: pairingNotes(pairing),
    },
    slices: slices.worst(),
    folder: 'report',
  }
}
