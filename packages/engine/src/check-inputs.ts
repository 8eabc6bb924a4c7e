import { isFloat32Array, isUint8Array } from 'node:util/types'
import { MeshflError, type MeshNetSpec, MeshNetSpecSchema, type ModelState } from '@meshfl/core'
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

function expectType(what: string, array: unknown, is: (value: unknown) => boolean, expected: string): void {
  if (!is(array)) {
    const actual = Object.prototype.toString.call(array).slice('[object '.length, -1)
    fail(`${what} is of type ${actual}, not ${expected}`, { what, actual, expected })
  }
}

/** Whether the kernels, whose requests have words of 32 bits, can count so many. */
const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 1 && value < 2 ** 32

/** The error for a precision that an engine lacks. */
export const fp32Only = (engine: string): MeshflError =>
  new MeshflError('MODEL_UNSUPPORTED', `the ${engine} engine computes in fp32 only`, {
    hint: "leave the precision out, ask for 'fp32', or use the cpu engine, which has bf16",
    data: { engine },
  })

/** @throws MeshflError `MODEL_UNSUPPORTED` when it is no spec of a model that there can be */
export function checkSpec(spec: MeshNetSpec): MeshNetSpec {
  const checked = MeshNetSpecSchema.safeParse(spec)
  if (checked.success) return checked.data
  const { path, message } = checked.error.issues[0]!
  throw new MeshflError('MODEL_UNSUPPORTED', `the model's ${path.join('.') || 'spec'} cannot be had: ${message}`, {
    hint: 'give a spec within the bounds of MeshNetSpecSchema',
    data: { path },
  })
}

export const voxelCount = ({ depth, height, width }: Grid): number => depth * height * width

/** @throws MeshflError `ENGINE_INPUT` unless every edge is an integer from 1 to 2^32 - 1 */
export function checkGrid(grid: Grid): void {
  for (const edge of ['depth', 'height', 'width'] as const) {
    if (!isCount(grid[edge])) fail(`the grid's ${edge} is ${grid[edge]}`, { ...grid })
  }
}

/** @throws MeshflError `ENGINE_INPUT` when a number among the options makes no sense */
export function checkOptions({ batchSize = 1, maxMemoryBytes = 1 }: SessionOptions): void {
  if (!isCount(batchSize)) fail(`a batch of ${batchSize} volumes`, { batchSize })
  if (!(maxMemoryBytes >= 1)) fail(`a session of at most ${maxMemoryBytes} bytes`, { maxMemoryBytes })
}

/** @throws MeshflError `ENGINE_INPUT` when an array does not have the type or the length that the spec and the grid ask for */
export function checkInputs(spec: MeshNetSpec, grid: Grid, model: ModelState, batch: Batch): void {
  const layout = modelLayout(spec)
  expectType('parameters', model.parameters, isFloat32Array, 'Float32Array')
  expectType('statistics', model.statistics, isFloat32Array, 'Float32Array')
  expectLength('parameters', model.parameters.length, layout.parameterCount)
  expectLength('statistics', model.statistics.length, layout.statisticCount)
  if (!isCount(batch.count)) {
    fail(`a batch of ${batch.count} volumes`, { count: batch.count })
  }
  if (batch.key !== undefined && !isCount(batch.key)) {
    fail(`a batch with the key ${batch.key}`, { key: batch.key })
  }
  const isImages = (value: unknown): boolean => isUint8Array(value) || isFloat32Array(value)
  expectType('images', batch.images, isImages, 'Uint8Array or Float32Array')
  expectLength('images', batch.images.length, batch.count * voxelCount(grid))
}

/** @throws MeshflError `ENGINE_INPUT` when labels or class weights do not have the type or the length that spec, grid and batch ask for */
export function checkTruth(spec: MeshNetSpec, grid: Grid, count: number, labels: Uint8Array, loss: LossSpec): void {
  expectType('labels', labels, isUint8Array, 'Uint8Array')
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
