import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type MeshNetSpec, MeshNetSpecSchema, type ModelState } from '@meshfl/core'
import type { Batch, Grid, LossSpec } from '@meshfl/engine'

/** One case of fixtures/golden, made by PyTorch; `f64` values were computed in float64 throughout. */
export interface GoldenCase {
  name: string
  spec: MeshNetSpec
  grid: Grid
  /** The first `count` volumes. */
  batch: Batch
  labels: Uint8Array
  /** All volumes: the batch, and what training takes in turn. */
  images: Uint8Array
  allLabels: Uint8Array
  model: ModelState
  loss: LossSpec
  /** Evaluation mode, (N,C,D,H,W). */
  logits: Float32Array
  logits64: Float64Array | null
  /** Of the logits, for several weights and smoothings, in float64. */
  losses: (LossSpec & { value: number })[]
  /** Training mode; null for instance normalisation. */
  step: { loss: number; gradients: Float32Array; batchStatistics: Float32Array } | null
  training: GoldenTraining | null
}

/** Steps of one volume each, the volumes in turn: Adam and OneCycleLR over `totalSteps`. */
export interface GoldenTraining {
  steps: number
  totalSteps: number
  losses64: number[]
  losses32: number[]
  model: ModelState
}

export interface GoldenSchedule {
  totalSteps: number
  /** [step, learning rate, beta1] */
  linear: [number, number, number][]
  cosine: [number, number, number][]
}

/** @param folder fixtures/golden */
export function readGoldenCases(folder: string): GoldenCase[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json') && name !== 'schedule.json')
    .sort()
    .map((name) => readGoldenCase(join(folder, name)))
}

export function readGoldenSchedule(folder: string): GoldenSchedule {
  return JSON.parse(readFileSync(join(folder, 'schedule.json'), 'utf8'))
}

function readGoldenCase(path: string): GoldenCase {
  const raw = JSON.parse(readFileSync(path, 'utf8'))
  const grid: Grid = raw.grid
  const voxels = raw.count * grid.depth * grid.height * grid.width
  const images = bytes(raw['images.u8'])
  const allLabels = bytes(raw['labels.u8'])
  const model = (from: Record<string, string>): ModelState => ({
    parameters: floats(from['parameters.f32']!),
    statistics: floats(from['statistics.f32']!),
  })
  return {
    name: raw.name,
    spec: MeshNetSpecSchema.parse(raw.spec),
    grid,
    batch: { images: images.subarray(0, voxels), count: raw.count },
    labels: allLabels.subarray(0, voxels),
    images,
    allLabels,
    model: model(raw),
    loss: raw.recipe,
    logits: floats(raw['logits.f32']),
    logits64: raw['logits.f64'] ? new Float64Array(bytes(raw['logits.f64']).buffer) : null,
    losses: raw.losses,
    step:
      raw.loss === undefined
        ? null
        : {
            loss: raw.loss,
            gradients: floats(raw['gradients.f32']),
            batchStatistics: floats(raw['batchStatistics.f32']),
          },
    training: raw.training
      ? {
          steps: raw.training.steps,
          totalSteps: raw.training.totalSteps,
          losses64: raw.training['losses.f64'],
          losses32: raw.training['losses.f32'],
          model: model(raw.training),
        }
      : null,
  }
}

function bytes(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(base64, 'base64')) // a copy of its own, so that it is aligned
}

function floats(base64: string): Float32Array {
  return new Float32Array(bytes(base64).buffer)
}
