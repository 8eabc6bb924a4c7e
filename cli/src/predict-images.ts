import { basename, join } from 'node:path'
import { type EventSink, writeFileAtomic } from '@meshfl/core'
import type { Engine, Grid, Session } from '@meshfl/engine'
import {
  type ConformOptions,
  conformGeometry,
  conformImage,
  encodeNifti,
  type Geometry,
  readVolume,
  resample,
  restoreLabel,
  type Shape,
  voxelVolumeMl,
} from '@meshfl/volume'
import { memoryEvent } from './memory-event.js'
import { predictionNames } from './prediction-names.js'
import type { TrainedModel } from './trained-model.js'

export interface PredictOptions {
  model: TrainedModel
  engine: Engine
  images: readonly string[]
  out: string
  mode?: ConformOptions['mode']
  shape?: Shape
  voxelSizeMm?: number
  volume?: number
  nanToZero: boolean
  probabilities: boolean
  signal: AbortSignal
  /** Told what the engine's buffers will take, whenever the grid changes. */
  onSession: EventSink
}

export interface Prediction {
  image: string
  label: string
  volumesMl: Record<string, number>
}

/** Scan -> conformed volume -> labels -> the scan's own space, one scan at a time; volumes.csv holds those done so far. */
export async function* predictImages(options: PredictOptions): AsyncGenerator<Prediction> {
  const { model, images, out } = options
  const stems = predictionNames(images)
  const classNames = model.data.classNames
  const session = createSessionCache(options)
  const rows = [['image', ...classNames.slice(1).map((name) => `${name} (mL)`)].join(',')]
  try {
    for (const [index, image] of images.entries()) {
      options.signal.throwIfAborted()
      const scan = await readVolume(image, {
        kind: 'image',
        nanToZero: options.nanToZero,
        ...(options.volume === undefined ? {} : { volume: options.volume }),
      })
      const conform = conformOptions(options, scan)
      const conformed = conformImage(scan, conform)
      const { forward } = await session.on(gridOf(conformed.shape))
      const { labels, logits } = await forward(conformed.voxels, options.probabilities)
      const target = { shape: conformed.shape, affine: conformed.affine }
      const native = restoreLabel({ ...target, voxels: labels, storedType: 'uint8', slope: 1, intercept: 0 }, scan)
      const label = join(out, `${stems[index]}_dseg.nii.gz`)
      await writeFileAtomic(label, await encodeNifti(native, { gzip: true }))
      if (logits)
        await writeProbabilities(softmax(logits, classNames.length), target, scan, classNames, join(out, stems[index]!))
      const volumesMl = volumesOf(native.voxels, classNames, voxelVolumeMl(native.affine))
      rows.push(
        [csvField(basename(image)), ...classNames.slice(1).map((name) => volumesMl[name]!.toFixed(3))].join(','),
      )
      await writeFileAtomic(join(out, 'volumes.csv'), `${rows.join('\n')}\n`)
      yield { image, label, volumesMl }
    }
  } finally {
    session.dispose()
  }
}

/** The grid of a conformed shape (nx, ny, nz): the engine's width is the axis that is fastest in the file. */
function gridOf([x, y, z]: Shape): Grid {
  return { depth: z, height: y, width: x }
}

function csvField(text: string): string {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

function conformOptions({ model, mode, shape, voxelSizeMm }: PredictOptions, scan: Geometry): ConformOptions {
  const trained = model.data
  const chosen = mode ?? trained.conform?.mode ?? 'freesurfer'
  const size = voxelSizeMm ?? trained.voxelSizeMm ?? 1
  const edge = Math.round(256 / size)
  const conform = {
    mode: chosen,
    shape: shape ?? trained.conform?.shape ?? ([edge, edge, edge] as const),
    voxelSizeMm: size,
  }
  return chosen === 'none' ? { ...conform, shape: conformGeometry(scan, conform).shape } : conform
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

async function writeProbabilities(
  probabilities: Float32Array,
  grid: Geometry,
  scan: Geometry,
  classNames: readonly string[],
  stem: string,
): Promise<void> {
  const voxels = probabilities.length / classNames.length
  for (const [c, name] of fileNamesOf(classNames).entries()) {
    const part = {
      ...grid,
      voxels: probabilities.subarray(c * voxels, (c + 1) * voxels),
      storedType: 'float32',
      slope: 1,
      intercept: 0,
    }
    const native = resample(part, scan, 'linear')
    await writeFileAtomic(`${stem}_probability-${name}.nii.gz`, await encodeNifti(native, { gzip: true }))
  }
}

/** Letters of any alphabet stay; where two classes would have one file, each has its number too. */
function fileNamesOf(classNames: readonly string[]): string[] {
  const names = classNames.map((name) => name.replaceAll(/[^\p{L}\p{M}\p{N}_]+/gu, '-'))
  return names.map((name, c) => (names.indexOf(name) === names.lastIndexOf(name) ? name : `${name}-${c}`))
}

function volumesOf(labels: Uint8Array, classNames: readonly string[], voxelMl: number): Record<string, number> {
  const counts = new Array<number>(classNames.length).fill(0)
  for (let i = 0; i < labels.length; i++) counts[labels[i]!]!++
  return Object.fromEntries(classNames.slice(1).map((name, i) => [name, counts[i + 1]! * voxelMl]))
}
