import type { Shape } from '@meshfl/volume'
import { describe, expect, test } from 'vitest'
import { evaluateCase } from '../case-metrics.js'
import type { SurfaceKind } from './surface-distances.js'
import { eachSurface } from './surface-distances.js'

/** Numbers that others' own tests expect, to the digits given there; the volumes are built here from their description. */
type Triple = [number, number, number]
interface Volumes {
  shape: Shape
  voxelSizeMm?: Triple
  truth: Uint8Array
  prediction: Uint8Array
}

const measure = ({ shape, voxelSizeMm = [1, 1, 1], truth, prediction }: Volumes, kind: SurfaceKind, toleranceMm = 1) =>
  evaluateCase({
    ...{ subject: 's', truth, prediction, classNames: ['background', 'x'], voxelVolumeMl: 1 },
    surfaces: { convention: { kind, toleranceMm }, shape, voxelSizeMm },
  }).perClass.x!

/** The mean distance from the truth and from the prediction. */
function means({ shape, voxelSizeMm = [1, 1, 1], truth, prediction }: Volumes, kind: SurfaceKind): [number, number] {
  const found = [...eachSurface({ truth, prediction, classes: 2 }, kind, { shape, voxelSizeMm })][1]!
  const mean = ({ mm, weights, total }: (typeof found)['fromTruth']): number =>
    mm.reduce((sum, distance, i) => sum + distance * weights[i]!, 0) / total
  return [mean(found.fromTruth), mean(found.fromPrediction)]
}

/** A volume of 1 where a point is inside; the axes are those of the published arrays, the first one as x. */
function volume(shape: Shape, isInside: (x: number, y: number, z: number) => boolean): Uint8Array {
  const voxels = new Uint8Array(shape[0] * shape[1] * shape[2])
  for (let z = 0, i = 0; z < shape[2]; z++)
    for (let y = 0; y < shape[1]; y++) for (let x = 0; x < shape[0]; x++, i++) voxels[i] = isInside(x, y, z) ? 1 : 0
  return voxels
}

/** `surface_distance_test.py` (https://github.com/google-deepmind/surface-distance, Apache-2.0). */
describe("published numbers of DeepMind's surface-distance", () => {
  test('two voxels 2 mm apart: distances 1.5 and 1.5 on average, HD and HD95 2, surface Dice .5', () => {
    const shape: Shape = [128, 128, 128]
    const at = (depth: number) => volume(shape, (x, y, z) => x === 50 && y === 60 && z === depth)
    const volumes = { shape, voxelSizeMm: [3, 2, 1] as Triple, truth: at(70), prediction: at(72) }
    expect(measure(volumes, 'surfel')).toMatchObject({ hd: 2, hd95: 2, nsd: 0.5, assd: 1.5 })
    expect(means(volumes, 'surfel')).toEqual([1.5, 1.5])
  })

  test('two cuboids that differ by one voxel: distances .322 and .339, HD and HD95 2, surface Dice .836, Dice .990', () => {
    const shape: Shape = [100, 100, 100]
    const upTo = (end: number) => volume(shape, (x) => x < end)
    const volumes = { shape, voxelSizeMm: [2, 1, 1] as Triple, truth: upTo(50), prediction: upTo(51) }
    const { hd, hd95, nsd, dice } = measure(volumes, 'surfel')
    expect([hd, hd95]).toEqual([2, 2])
    expect(nsd).toBeCloseTo(0.836, 3)
    expect(dice).toBeCloseTo(0.99, 3)
    expect(means(volumes, 'surfel')[0]).toBeCloseTo(0.322, 3)
    expect(means(volumes, 'surfel')[1]).toBeCloseTo(0.339, 3)
  })
})

/** `tests/metrics/test_hausdorff_distance.py` and `test_surface_distance.py` (https://github.com/Project-MONAI/MONAI, Apache-2.0). */
describe('published numbers of MONAI', () => {
  const shape: Shape = [99, 99, 99]
  const sphere = (radius: number, [cx, cy, cz]: Triple, [dx, dy, dz]: Triple = [1, 1, 1]) =>
    volume(shape, (x, y, z) => (x * dx - cx) ** 2 + (y * dy - cy) ** 2 + (z * dz - cz) ** 2 <= radius * radius)
  const pair = (prediction: [number, Triple], truth: [number, Triple], voxelSizeMm?: Triple): Volumes => ({
    ...{ shape, prediction: sphere(...prediction, voxelSizeMm), truth: sphere(...truth, voxelSizeMm) },
    ...(voxelSizeMm ? { voxelSizeMm } : {}),
  })
  const small = pair([20, [20, 33, 22]], [40, [20, 33, 22]])
  /** The largest distance from the prediction, which MONAI calls directed. */
  const directed = ({ truth, prediction, voxelSizeMm = [1, 1, 1] }: Volumes): number =>
    [...eachSurface({ truth, prediction, classes: 2 }, 'voxel', { shape, voxelSizeMm })][1]!.fromPrediction.mm.at(-1)!

  test('a sphere of 20 voxels that is shifted by one along each axis: HD is the root of 3', () => {
    expect(measure(pair([20, [20, 20, 20]], [20, [19, 19, 19]]), 'voxel').hd).toBeCloseTo(1.7320508075688772, 9)
  })

  test('spheres of 20 and 40 voxels: HD 20.0998 one way and 20.2237 both, HD95 20.0998, ASSD 15.1177', () => {
    const { hd, hd95, assd } = measure(small, 'voxel')
    expect(directed(small)).toBeCloseTo(20.09975124224178, 9)
    expect(hd).toBeCloseTo(20.223748416156685, 9)
    expect(hd95).toBeCloseTo(20.09975124224178, 9)
    expect(assd).toBeCloseTo(15.117741, 4)
    expect(means(small, 'voxel')[1]).toBeCloseTo(12.040033513150455, 4)
  })

  test('a sphere of 33 voxels that is shifted by one: ASSD .350217, one way .348328', () => {
    const volumes = pair([33, [19, 33, 22]], [33, [20, 33, 22]])
    expect(measure(volumes, 'voxel').assd).toBeCloseTo(0.350217, 5)
    expect(means(volumes, 'voxel')[1]).toBeCloseTo(0.3483278807706289, 5)
    expect(measure(volumes, 'voxel').hd).toBe(1)
  })

  test.each([
    ['a shifted sphere', [20, [20, 20, 20]], [20, [19, 19, 19]], 2.0808651447296143, 2.2671568],
    ['spheres of 15 and 30 mm', [15, [20, 33, 22]], [30, [20, 33, 22]], 15.439640998840332, 15.62594],
  ] as [string, [number, Triple], [number, Triple], number, number][])(
    '%s in voxels of .85 x 1.2 x .9 mm',
    (_, prediction, truth, oneWay, both) => {
      const volumes = pair(prediction, truth, [0.85, 1.2, 0.9])
      expect(directed(volumes)).toBeCloseTo(oneWay, 5)
      expect(measure(volumes, 'voxel').hd).toBeCloseTo(both, 5)
    },
  )

  test('a shifted sphere in voxels of .85 x 1.2 x .9 mm: ASSD .4951', () => {
    const volumes = pair([33, [42, 45, 52]], [33, [43, 45, 52]], [0.85, 1.2, 0.9])
    expect(measure(volumes, 'voxel').assd).toBeCloseTo(0.4951, 4)
  })
})

/** `test/test_metrics/test_pairwise_measures.py` (https://github.com/Project-MONAI/MetricsReloaded, Apache-2.0): pictures, so one slice. */
describe('published numbers of MetricsReloaded', () => {
  test('a square against itself with a cross through it: ASSD .44, NSD .89 at 1 and 1 at 2', () => {
    const shape: Shape = [11, 11, 1]
    const isSquare = (x: number, y: number): boolean => x >= 3 && x < 8 && y >= 3 && y < 8
    const isCross = (x: number, y: number): boolean => (y === 5 && x >= 1 && x < 10) || (x === 5 && y >= 1 && y < 10)
    const truth = volume(shape, isSquare)
    const prediction = volume(shape, (x, y) => isSquare(x, y) || isCross(x, y))
    const { dice, assd, nsd } = measure({ shape, truth, prediction }, 'voxel')
    expect(dice).toBeCloseTo(0.862, 3)
    expect(Math.abs(assd! - 0.44)).toBeLessThanOrEqual(0.01)
    expect(Math.abs(nsd! - 0.89)).toBeLessThanOrEqual(0.01)
    expect(measure({ shape, truth, prediction }, 'voxel', 2).nsd).toBe(1)
  })

  test('a square with a stray pixel: HD 11.31, HD95 6.79', () => {
    const shape: Shape = [14, 14, 1]
    const isSquare = (x: number, y: number): boolean => x >= 9 && x < 12 && y >= 9 && y < 12
    const truth = volume(shape, (x, y) => isSquare(x, y) || (x === 1 && y === 1))
    const { hd, hd95 } = measure({ shape, truth, prediction: volume(shape, isSquare) }, 'voxel')
    expect(hd).toBeCloseTo(11.31, 2)
    expect(hd95).toBeCloseTo(6.79, 2)
  })
})
