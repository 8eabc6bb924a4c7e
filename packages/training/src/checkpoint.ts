import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  bytesOf,
  DiceSchema,
  decodeModel,
  encodeModel,
  MeshflError,
  type ModelLayout,
  type ModelState,
  modelMetadata,
  RiseSchema,
  type Study,
  writeFileAtomic,
} from '@meshfl/core'
import { z } from 'zod'

/** The one file that a run is continued from; the others are copies of what it holds. */
export const CHECKPOINT_FILE = 'checkpoint.safetensors'
export const LATEST_FILE = 'latest.safetensors'
export const BEST_FILE = 'best.safetensors'

const FORMAT = 'meshfl-checkpoint/1'

const metric = z.number().nullable()

const BestSchema = z.strictObject({ round: z.int().min(1), foregroundDice: metric })

const ProgressSchema = z.strictObject({
  /** Rounds committed. */
  round: z.int().min(1),
  studySha256: z.string(),
  /** Of the cases that it was trained and scored on; absent in checkpoints of before. */
  casesSha256: z.string().optional(),
  engine: z.string(),
  instructionSet: z.string(),
  precision: z.enum(['fp32', 'bf16']),
  best: BestSchema,
  /** The last rise of the validation Dice: where early stop counts from. */
  rise: RiseSchema.nullable(),
  /** What the last round reached, so that its events can be told after a crash. */
  metrics: z.strictObject({
    trainLoss: metric,
    trainDice: DiceSchema.nullable(),
    validLoss: metric,
    validDice: DiceSchema.nullable(),
    seconds: z.number(),
  }),
  /** What the last round's validation came to; absent in checkpoints of before. */
  evaluated: z.strictObject({ loss: metric, dice: DiceSchema, cases: z.int().min(0) }).optional(),
  /** The images that it learned from and was chosen by, by the first 16 digits of their hashes; absent in checkpoints of before. */
  images: z.strictObject({ train: z.array(z.string()), valid: z.array(z.string()) }).optional(),
})
export type Progress = z.infer<typeof ProgressSchema>
export type RoundMetrics = Progress['metrics']

/** A run between two rounds. */
export interface Checkpoint {
  progress: Progress
  model: ModelState
  /** The trainer's state. */
  state: Uint8Array
  bestModel: ModelState
}

/**
 * The checkpoint as bytes: same content, same bytes. It reads as a model file too (of the latest round).
 * @param metadata what a model file says of its model
 */
export function encodeCheckpoint(
  layout: ModelLayout,
  { progress, model, state, bestModel }: Checkpoint,
  metadata: Record<string, string> = {},
): Uint8Array {
  const { parameters, statistics } = bestModel
  return encodeModel(layout, model, { ...metadata, format: FORMAT, progress: JSON.stringify(progress) }, [
    { name: 'best.parameters', dtype: 'F32', shape: [parameters.length], data: bytesOf(parameters) },
    { name: 'best.statistics', dtype: 'F32', shape: [statistics.length], data: bytesOf(statistics) },
    { name: 'trainer.state', dtype: 'U8', shape: [state.length], data: state },
  ])
}

/**
 * Reads what `encodeCheckpoint` wrote.
 * @throws MeshflError `SAFETENSORS_MALFORMED`, `MODEL_LAYOUT_MISMATCH`, `CHECKPOINT_INVALID`
 */
export function decodeCheckpoint(layout: ModelLayout, bytes: Uint8Array, source = 'checkpoint'): Checkpoint {
  const invalid = (what: string, cause?: unknown): MeshflError =>
    new MeshflError('CHECKPOINT_INVALID', `${source} is no checkpoint of this version: ${what}`, {
      hint: 'start the run again in an empty folder; its models can still be read',
      cause,
    })
  const { parameters, statistics, file } = decodeModel(layout, bytes, source)
  if (file.metadata.format !== FORMAT) throw invalid(`its format is ${file.metadata.format ?? 'not stated'}`)
  let progress: Progress
  try {
    progress = ProgressSchema.parse(JSON.parse(file.metadata.progress ?? ''))
  } catch (error) {
    throw invalid('its progress cannot be read', error)
  }
  const find = (name: string): Uint8Array => {
    const tensor = file.tensors.find((candidate) => candidate.name === name)
    if (!tensor) throw invalid(`it has no ${name}`)
    return tensor.data
  }
  const floats = (name: string, count: number): Float32Array => {
    const data = find(name)
    if (data.byteLength !== count * 4) throw invalid(`${name} is not ${count} floats`)
    const values = new Float32Array(count)
    bytesOf(values).set(data)
    return values
  }
  return {
    progress,
    model: { parameters, statistics },
    state: find('trainer.state').slice(),
    bestModel: {
      parameters: floats('best.parameters', layout.parameterCount),
      statistics: floats('best.statistics', layout.statisticCount),
    },
  }
}

/** The checkpoint of a run's folder; null where there is none. */
export async function readCheckpoint(run: string, layout: ModelLayout): Promise<Checkpoint | null> {
  const path = join(run, CHECKPOINT_FILE)
  let bytes: Uint8Array
  try {
    bytes = await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  return decodeCheckpoint(layout, bytes, path)
}

/**
 * Commits a round: the checkpoint first, in one atomic write, then what is derived from it. A crash in between is mended by
 * `writeModels` when the run continues.
 * @throws MeshflError `DISK_FULL`, `PATH_NOT_WRITABLE`
 */
export async function commitCheckpoint(
  run: string,
  study: Study,
  layout: ModelLayout,
  checkpoint: Checkpoint,
): Promise<void> {
  const metadata = modelMetadata(study, checkpoint.progress.round)
  await writeFileAtomic(join(run, CHECKPOINT_FILE), encodeCheckpoint(layout, checkpoint, metadata))
  await writeModels(run, study, layout, checkpoint)
}

/** Writes latest.safetensors and best.safetensors from a checkpoint. */
export async function writeModels(
  run: string,
  study: Study,
  layout: ModelLayout,
  checkpoint: Checkpoint,
): Promise<void> {
  const { progress, model, bestModel } = checkpoint
  const latest = encodeModel(layout, model, modelMetadata(study, progress.round))
  const best = encodeModel(layout, bestModel, modelMetadata(study, progress.best.round))
  await writeFileAtomic(join(run, LATEST_FILE), latest)
  await writeFileAtomic(join(run, BEST_FILE), best)
}
