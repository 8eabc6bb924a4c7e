import { join } from 'node:path'
import { type EventSink, MeshflError, mayPass, writeFileAtomic } from '@meshfl/core'
import { checkConformed } from '@meshfl/dataset'
import type { Engine, Grid, Session } from '@meshfl/engine'
import {
  cutFaces,
  encodeNifti,
  type Geometry,
  readVolume,
  resample,
  restoreLabel,
  type Shape,
  type Volume,
  voxelCount,
  voxelVolumeMl,
} from '@meshfl/volume'
import { type ConformRequest, conformScan } from './conform-scan.js'
import { memoryEvent } from './memory-event.js'
import { checkNameLengths, classFileNames, LABEL_ENDING, predictionNames } from './prediction-names.js'
import type { TrainedModel } from './trained-model.js'
import { openVolumesTable } from './volumes-table.js'

/** Of the cross-section of what was segmented: less at a face is a voxel here and there. */
const CUT_PART = 0.02
const UNPLACED =
  'its header does not say how it lies in the head; it is taken as readers take such a file, which may be sideways or mirrored: compare left and right, and front and back, with the scan'
const probabilityEnding = (className: string): string => `_probability-${className}.nii.gz`

export interface PredictOptions {
  model: TrainedModel
  engine: Engine
  images: readonly string[]
  out: string
  conform: ConformRequest
  volume?: number
  nanToZero: boolean
  probabilities: boolean
  signal: AbortSignal
  /** Told of a scan that is not as those that the model has learned from. */
  onWarning(message: string): void
  /** Told what the engine's buffers will take, whenever the grid changes. */
  onSession: EventSink
}

export interface Prediction {
  image: string
  label: string
  volumesMl: Record<string, number>
}

/** A scan that cannot be segmented, and why. */
export interface UnreadableScan {
  image: string
  error: MeshflError
}

/**
 * Scan -> conformed volume -> labels -> the scan's own space, one scan at a time; volumes.csv holds those done so far, and those of
 * other commands in the same folder. A scan in error is passed over; what would stop the others too is thrown.
 */
export async function* predictImages(options: PredictOptions): AsyncGenerator<Prediction | UnreadableScan> {
  const { model, images, out } = options
  const stems = predictionNames(images)
  const classNames = model.data.classNames
  const endings = [LABEL_ENDING, ...(options.probabilities ? classFileNames(classNames).map(probabilityEnding) : [])]
  checkNameLengths(stems.flatMap((stem) => endings.map((ending) => `${stem}${ending}`)))
  const labels = stems.map((stem) => join(out, `${stem}${LABEL_ENDING}`))
  const volumes = await openVolumesTable(out, classNames, images, labels, options.signal)
  const session = createSessionCache(options)
  try {
    for (const [index, image] of images.entries()) {
      options.signal.throwIfAborted()
      const read = await readScan(image, options)
      if ('error' in read) {
        yield { image, error: read.error }
        continue
      }
      const { scan, conformed } = read
      const { forward } = await session.on(gridOf(conformed.shape))
      const { labels: conformedLabels, logits } = await forward(conformed.voxels, options.probabilities)
      const target = { shape: conformed.shape, affine: conformed.affine }
      const segmented = { ...target, voxels: conformedLabels, storedType: 'uint8', slope: 1, intercept: 0 }
      const native = { ...restoreLabel(segmented, scan), ...(scan.isUnplaced ? { isUnplaced: scan.isUnplaced } : {}) }
      for (const words of cutWords(segmented, native, scan)) options.onWarning(`${image}: ${words}`)
      const label = labels[index]!
      await writeFileAtomic(label, await encodeNifti(native, { gzip: true }))
      if (logits)
        await writeProbabilities(softmax(logits, classNames.length), target, scan, classNames, join(out, stems[index]!))
      const volumesMl = volumesOf(native.voxels, classNames, voxelVolumeMl(native.affine))
      await volumes.add(image, label, volumesMl)
      yield { image, label, volumesMl }
    }
  } finally {
    session.dispose()
  }
}

/** A scan and what is segmented of it; or the error, where it is of this scan alone. */
async function readScan(
  image: string,
  options: PredictOptions,
): Promise<{ scan: Volume; conformed: Volume<Uint8Array> } | { error: MeshflError }> {
  try {
    const scan = await readVolume(image, {
      kind: 'image',
      nanToZero: options.nanToZero,
      ...(options.volume === undefined ? {} : { volume: options.volume }),
    })
    const { conformed, warnings } = conformScan(scan, options.model.data, options.conform)
    if (scan.isUnplaced) options.onWarning(`${image}: ${UNPLACED}`)
    for (const warning of warnings) options.onWarning(`${image}: ${warning}`)
    checkConformed(conformed.voxels, image)
    return { scan, conformed }
  } catch (error) {
    // A file server that is away, or a grid that no scan can be brought to, is no fault of the scan.
    if (!(error instanceof MeshflError) || error.kind !== 'data' || mayPass(error)) throw error
    return { error }
  }
}

/** Where the grid, or the scan itself, ends before what was segmented does; nothing where neither does. */
function cutWords(segmented: Volume<Uint8Array>, native: Volume<Uint8Array>, scan: Geometry): string[] {
  const grid = manyOf(segmented, scan)
  const edge = manyOf(native)
  return [
    ...(grid === undefined
      ? []
      : [
          `the grid of ${segmented.shape.join(' x ')} voxels ends before what was segmented does, which makes its volumes too small: ${grid}; give a larger --shape`,
        ]),
    ...(edge === undefined
      ? []
      : [
          `what was segmented reaches the end of the scan, which makes its volumes too small if it goes on there: ${edge}`,
        ]),
  ]
}

/** The faces of a label map that have more than stray voxels on them, in words. */
function manyOf(label: Volume<Uint8Array>, scan?: Geometry): string | undefined {
  let labelled = 0
  for (const value of label.voxels) if (value !== 0) labelled++
  const faces = cutFaces(label, scan).filter(({ voxels }) => voxels > CUT_PART * labelled ** (2 / 3))
  return faces.length === 0 ? undefined : faces.map(({ face, voxels }) => `${face} (${voxels} voxels)`).join(', ')
}

/** The grid of a conformed shape (nx, ny, nz): the engine's width is the axis that is fastest in the file. */
function gridOf([x, y, z]: Shape): Grid {
  return { depth: z, height: y, width: x }
}

/** One session is kept for as long as the grid stays the same. */
function createSessionCache({ engine, model, signal, onSession }: PredictOptions) {
  let held: { key: string; session: Session } | undefined
  return {
    async on(grid: Grid) {
      const key = JSON.stringify(grid)
      if (held?.key !== key) {
        held?.session.dispose()
        held = { key, session: await engine.createSession(model.spec, grid, { purpose: 'predict' }) }
        onSession(memoryEvent(engine, held.session, model.spec, 'predict'))
      }
      const { session } = held
      return {
        forward: (images: Uint8Array, logits: boolean) =>
          session.forward(model.state, { images, count: 1 }, { signal, logits }),
      }
    },
    dispose: () => held?.session.dispose(),
  }
}

/** Softmax over classes of (classes, voxels) logits, in place. */
function softmax(logits: Float32Array, classes: number): Float32Array {
  const voxels = logits.length / classes
  for (let v = 0; v < voxels; v++) {
    let highest = Number.NEGATIVE_INFINITY
    for (let c = 0; c < classes; c++) highest = Math.max(highest, logits[c * voxels + v]!)
    let sum = 0
    for (let c = 0; c < classes; c++) {
      const value = Math.exp(logits[c * voxels + v]! - highest)
      logits[c * voxels + v] = value
      sum += value
    }
    for (let c = 0; c < classes; c++) logits[c * voxels + v] = logits[c * voxels + v]! / sum
  }
  return logits
}

/**
 * A file of each class, on the scan's grid. Between voxels they are interpolated, and the background is what is left of 1: all of it
 * where the grid does not reach.
 */
async function writeProbabilities(
  probabilities: Float32Array,
  grid: Geometry,
  scan: Volume,
  classNames: readonly string[],
  stem: string,
): Promise<void> {
  const voxels = probabilities.length / classNames.length
  const files = classFileNames(classNames).map((name) => `${stem}${probabilityEnding(name)}`)
  const part = {
    ...grid,
    storedType: 'float32',
    slope: 1,
    intercept: 0,
    ...(scan.isUnplaced ? { isUnplaced: scan.isUnplaced } : {}),
  }
  const background = { ...part, ...geometryOf(scan), voxels: new Float32Array(voxelCount(scan.shape)).fill(1) }
  for (let c = 1; c < classNames.length; c++) {
    const native = resample({ ...part, voxels: probabilities.subarray(c * voxels, (c + 1) * voxels) }, scan)
    for (let i = 0; i < native.voxels.length; i++) background.voxels[i]! -= native.voxels[i]!
    await writeFileAtomic(files[c]!, await encodeNifti(native, { gzip: true }))
  }
  for (let i = 0; i < background.voxels.length; i++) background.voxels[i] = Math.max(0, background.voxels[i]!)
  await writeFileAtomic(files[0]!, await encodeNifti(background, { gzip: true }))
}

const geometryOf = ({ shape, affine }: Geometry): Geometry => ({ shape, affine })

function volumesOf(labels: Uint8Array, classNames: readonly string[], voxelMl: number): Record<string, number> {
  const counts = new Array<number>(classNames.length).fill(0)
  for (let i = 0; i < labels.length; i++) counts[labels[i]!]!++
  return Object.fromEntries(classNames.slice(1).map((name, i) => [name, counts[i + 1]! * voxelMl]))
}
