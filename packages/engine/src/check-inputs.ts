import { MeshflError, type MeshNetSpec, type ModelState } from '@meshfl/core'
import type { Batch, Grid, LossSpec, SessionOptions } from './engine.js'
import { modelLayout } from './layout.js'

function fail(message: string, data: Record<string, unknown>): never {
  throw new MeshflError('ENGINE_INPUT', message, {
    hint: 'check that the model, the volumes and the session were made for the same spec and grid',
    data,
  })
}

function expectLength(what: string, actual: number, expected: number): void {
  if (actual !== expected) fail(`${what} holds ${actual} values, not ${expected}`, { what, actual, expected })
}

/** The error for a precision that an engine lacks. */
export const fp32Only = (engine: string): MeshflError =>
  new MeshflError('MODEL_UNSUPPORTED', `the ${engine} engine computes in fp32 only`, {
    hint: "leave the precision out, ask for 'fp32', or use the cpu engine, which has bf16",
    data: { engine },
  })

export const voxelCount = ({ depth, height, width }: Grid): number => depth * height * width

/** @throws MeshflError `ENGINE_INPUT` unless every edge is a positive integer */
export function checkGrid(grid: Grid): void {
  for (const [edge, length] of Object.entries(grid)) {
    if (!Number.isSafeInteger(length) || length < 1) fail(`the grid's ${edge} is ${length}`, { ...grid })
  }
}

/** @throws MeshflError `ENGINE_INPUT` when a number among the options makes no sense */
export function checkOptions({ batchSize = 1, maxMemoryBytes = 1 }: SessionOptions): void {
  if (!Number.isSafeInteger(batchSize) || batchSize < 1) fail(`a batch of ${batchSize} volumes`, { batchSize })
  if (!(maxMemoryBytes >= 1)) fail(`a session of at most ${maxMemoryBytes} bytes`, { maxMemoryBytes })
}

/** @throws MeshflError `ENGINE_INPUT` when an array does not have the length that the spec and the grid ask for */
export function checkInputs(spec: MeshNetSpec, grid: Grid, model: ModelState, batch: Batch): void {
  const layout = modelLayout(spec)
  expectLength('parameters', model.parameters.length, layout.parameterCount)
  expectLength('statistics', model.statistics.length, layout.statisticCount)
  if (!Number.isSafeInteger(batch.count) || batch.count < 1) {
    fail(`a batch of ${batch.count} volumes`, { count: batch.count })
  }
  if (batch.key !== undefined && !(Number.isSafeInteger(batch.key) && batch.key >= 1 && batch.key < 2 ** 32)) {
    fail(`a batch with the key ${batch.key}`, { key: batch.key })
  }
  expectLength('images', batch.images.length, batch.count * voxelCount(grid))
}

/** @throws MeshflError `ENGINE_INPUT` when labels or class weights do not have the length that spec, grid and batch ask for */
export function checkTruth(spec: MeshNetSpec, grid: Grid, count: number, labels: Uint8Array, loss: LossSpec): void {
  expectLength('labels', labels.length, count * voxelCount(grid))
  expectLength('class weights', loss.classWeights.length, spec.classes)
}

/** The error for a label that no class has. */
export function badLabel(classes: number, labels: Uint8Array): MeshflError {
  const label = labels.find((value) => value >= classes)
  return new MeshflError('ENGINE_INPUT', `a voxel is labelled ${label}, but the classes are 0 to ${classes - 1}`, {
    hint: 'map the labels to the classes of the study first',
    data: { label, classes },
  })
}
