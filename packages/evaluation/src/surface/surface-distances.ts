import { type Shape, voxelCount } from '@meshfl/volume'
import { z } from 'zod'
import { classBoxes } from './class-boxes.js'
import { squaredDistances } from './distance-transform.js'
import { edgeVoxels, type SurfacePoints, surfelCodes } from './surface-points.js'
import { surfelAreas } from './surfel-areas.js'

/**
 * What a surface is. `surfel`, as DeepMind's surface-distance: elements between voxels, weighted by their area in mm². `voxel`, as
 * MONAI and MetricsReloaded: the voxels that an erosion takes away, each with the weight 1.
 */
const SurfaceKindSchema = z.enum(['surfel', 'voxel'])
export type SurfaceKind = z.infer<typeof SurfaceKindSchema>

/** How surfaces were measured. */
export const SurfaceConventionSchema = z.strictObject({
  kind: SurfaceKindSchema,
  /** Up to this distance, mm, NSD counts surfaces as one. */
  toleranceMm: z.number().positive(),
})
export type SurfaceConvention = z.infer<typeof SurfaceConventionSchema>

/** From one surface to the nearest point of the other. */
export interface Distances {
  /** Every distance that occurs, mm, ascending. */
  mm: Float64Array
  /** How much of the surface lies at it: mm² of surfels, number of voxels. */
  weights: Float64Array
  total: number
}

/** Both ways between the surfaces of a class in the truth and in the prediction. */
export interface SurfaceDistances {
  fromTruth: Distances
  fromPrediction: Distances
}

/** Where the voxels are. Axes are taken to be at right angles. */
export interface SurfaceGrid {
  shape: Shape
  /** Edges of a voxel along x, y, z. */
  voxelSizeMm: readonly [number, number, number]
}

interface ClassLabels {
  truth: ArrayLike<number>
  prediction: ArrayLike<number>
  classes: number
}

/**
 * The distances between the surfaces of each class, one after the other: with stray voxels at two ends of a volume of 256^3 a class takes
 * about a second. Null where one of the volumes does not hold the class, and for background. The labels are classes, as `confusionOf` has
 * checked.
 */
export function* eachSurface(
  { truth, prediction, classes }: ClassLabels,
  kind: SurfaceKind,
  { shape, voxelSizeMm }: SurfaceGrid,
): Generator<SurfaceDistances | null> {
  if (truth.length !== voxelCount(shape))
    throw new RangeError(`a volume of ${shape.join(' x ')} voxels does not have ${truth.length} labels`)
  const [x, y, z] = voxelSizeMm
  const spacing = [asWritten(x), asWritten(y), asWritten(z)] as const
  const weights = kind === 'surfel' ? surfelAreas(spacing) : new Float64Array(256).fill(1)
  const points = kind === 'surfel' ? surfelCodes : edgeVoxels
  const boxes = classBoxes(truth, prediction, classes, shape)
  for (const [value, box] of boxes.entries()) {
    const there = box && points(truth, value, shape, box)
    const here = box && points(prediction, value, shape, box)
    if (!there || !here || isEmpty(there) || isEmpty(here)) {
      yield null
      continue
    }
    const squared = squaredDistances(here.kinds, here.shape, spacing)
    const fromTruth = distancesAt(there, squared, weights)
    const fromPrediction = distancesAt(here, squaredDistances(there.kinds, there.shape, spacing, squared), weights)
    yield { fromTruth, fromPrediction }
  }
}

/** A part of a distance: two that are one in decimals differ by less. */
const ROUNDING = 1e-9

/** Whether a distance is no larger than another, where both are sums and roots of decimals: three voxels of 0.8 mm are 2.4 mm. */
export function isUpTo(mm: number, mostMm: number): boolean {
  return mm <= mostMm * (1 + ROUNDING)
}

/** The edge of a voxel as a person has it: a header's float32 makes 0.8000000119 of 0.8, and 0.99999998 of the 1 mm of a turned scan. */
function asWritten(mm: number): number {
  return Number(mm.toPrecision(6))
}

function isEmpty({ kinds }: SurfacePoints): boolean {
  return kinds.every((kind) => kind === 0)
}

/** Sums the weights of the points of a surface by their distance: far fewer numbers than points, and in order. */
function distancesAt({ kinds }: SurfacePoints, squared: Float64Array, weights: Float64Array): Distances {
  const sums = new Map<number, number>()
  for (let i = 0; i < kinds.length; i++) {
    const kind = kinds[i]!
    if (kind === 0) continue
    const distance = squared[i]!
    sums.set(distance, (sums.get(distance) ?? 0) + weights[kind]!)
  }
  const ascending = Float64Array.from(sums.keys()).sort()
  const byDistance = Float64Array.from(ascending, (distance) => sums.get(distance)!)
  return { mm: ascending.map(Math.sqrt), weights: byDistance, total: byDistance.reduce((sum, one) => sum + one, 0) }
}
