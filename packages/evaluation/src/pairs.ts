import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { MeshflError, someOf } from '@meshfl/core'
import { type Geometry, orientation, sameGrid, voxelSize } from '@meshfl/volume'

/** A prediction and the truth that it is held against. */
export interface Pair {
  /** The name that both files share, without its ending. */
  subject: string
  prediction: string
  truth: string
}

export interface Pairing {
  /** By subject. */
  pairs: Pair[]
  /** Truths without a prediction and predictions without a truth: whoever reports on the pairs must name them. */
  withoutPrediction: string[]
  withoutTruth: string[]
}

const VOLUME_ENDING = /\.(nii\.gz|nii|mgz|mgh|hdr)$/i

/** What meshfl predict and BIDS put after the name of a scan: `scan_dseg` is the segmentation of `scan`, and of `scan_T1w`. */
const SCAN_SUFFIXES = /(_T1w)?(_dseg)?$/

/** Affines are often written through quaternions in 32 bits; what is closer than this is the same voxel. */
const GRID_TOLERANCE_MM = 0.05

/**
 * Pairs the volumes of two folders by their name without its ending (`sub-01.nii.gz` with `sub-01.mgz`); where no truth has
 * that very name, without `_dseg` and `_T1w` too (`sub-01_T1w_dseg` with `sub-01_dseg` or `sub-01`).
 * @throws MeshflError `EVAL_NO_PAIRS` when no name is in both, `EVAL_SAME_NAME` when one is twice in a folder
 */
export async function pairPredictions(predictionFolder: string, truthFolder: string): Promise<Pairing> {
  const predictions = await volumesOf(predictionFolder)
  const truths = await volumesOf(truthFolder)
  const stem = (name: string): string => name.replace(SCAN_SUFFIXES, '')
  const alike = (subject: string): string | undefined => {
    const same = (names: Iterable<string>): string[] => [...names].filter((name) => stem(name) === stem(subject))
    const [match, second] = same(truths.keys())
    // Only where nothing else could be meant, on either side.
    return match === undefined || second !== undefined || same(predictions.keys()).length > 1
      ? undefined
      : truths.get(match)
  }
  const pairs = [...predictions].flatMap(([subject, prediction]): Pair[] => {
    const truth = truths.get(subject) ?? alike(subject)
    return truth === undefined ? [] : [{ subject, prediction, truth }]
  })
  const used = new Set(pairs.map(({ truth }) => truth))
  if (pairs.length === 0) {
    const example = (names: Iterable<string>): string => [...names].slice(0, 3).join(', ') || 'no volumes'
    throw new MeshflError(
      'EVAL_NO_PAIRS',
      `no prediction in ${predictionFolder} (${example(predictions.keys())}) has a truth of the same name in ${truthFolder} (${example(truths.keys())})`,
      {
        hint: 'name each prediction like its truth; endings such as .nii.gz and .mgz may differ',
        data: { predictionFolder, truthFolder, predictions: predictions.size, truths: truths.size },
      },
    )
  }
  return {
    pairs,
    withoutPrediction: [...truths].filter(([, truth]) => !used.has(truth)).map(([subject]) => subject),
    withoutTruth: [...predictions.keys()].filter((subject) => !pairs.some((pair) => pair.subject === subject)),
  }
}

/** What a report must say of files that were left without a partner. */
export function pairingNotes(pairing: Pairing): string[] {
  const note = (subjects: readonly string[], what: string): string[] =>
    subjects.length === 0 ? [] : [`${subjects.length} left out, ${what}: ${someOf(subjects, 20)}.`]
  return [
    ...note(pairing.withoutPrediction, 'a truth without a prediction'),
    ...note(pairing.withoutTruth, 'a prediction without a truth'),
  ]
}

/**
 * Refuses a prediction that does not lie on the grid of its truth, showing both grids.
 * @throws MeshflError `EVAL_GRID_MISMATCH`
 */
export function checkSameGrid(subject: string, prediction: Geometry, truth: Geometry): void {
  if (sameGrid(prediction, truth, GRID_TOLERANCE_MM)) return
  throw new MeshflError(
    'EVAL_GRID_MISMATCH',
    `the prediction of ${subject} is ${gridText(prediction)}, its truth ${gridText(truth)}`,
    {
      hint: 'bring the prediction to the grid of the truth first; meshfl predict writes label maps in the space of their image',
      data: { subject, prediction: gridData(prediction), truth: gridData(truth) },
    },
  )
}

function gridText({ shape, affine }: Geometry): string {
  const size = voxelSize(affine).map((edge) => Number(edge.toFixed(3)))
  const origin = [affine[3], affine[7], affine[11]].map((value) => Number((value ?? 0).toFixed(2)))
  return `${shape.join(' x ')} voxels of ${size.join(' x ')} mm, ${orientation(affine)}, origin (${origin.join(', ')})`
}

function gridData({ shape, affine }: Geometry): { shape: number[]; affine: number[] } {
  return { shape: [...shape], affine: [...affine] }
}

/** Volumes of a folder by their name without ending, in the order of the names. */
async function volumesOf(folder: string): Promise<Map<string, string>> {
  let names: string[]
  try {
    names = await readdir(folder)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw new MeshflError('EVAL_NO_PAIRS', `${folder} cannot be read as a folder (${code})`, {
      hint: 'give two folders: --pred with the predictions, --truth with the labels',
      data: { folder },
      cause: error,
    })
  }
  const volumes = new Map<string, string>()
  for (const name of names.filter((one) => VOLUME_ENDING.test(one) && !one.startsWith('.')).sort()) {
    const subject = name.replace(VOLUME_ENDING, '')
    const path = join(folder, name)
    const other = volumes.get(subject)
    if (other !== undefined) {
      throw new MeshflError('EVAL_SAME_NAME', `${other} and ${path} are both called ${subject}`, {
        hint: 'keep one of the two, so that it is clear which one is meant',
        data: { subject, paths: [other, path] },
      })
    }
    volumes.set(subject, path)
  }
  return volumes
}
