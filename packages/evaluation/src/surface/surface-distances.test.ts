import type { Shape } from '@meshfl/volume'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { evaluateCase, evaluateCaseInTurns } from '../case-metrics.js'
import type { EmptyConvention } from '../metrics/metric.js'
import type { SurfaceKind } from './surface-distances.js'

const KINDS: readonly SurfaceKind[] = ['surfel', 'voxel']
const shape: Shape = [5, 4, 3]
const labels = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 60, maxLength: 60 })
const voxelSize = fc.tuple(...([0, 1, 2] as const).map(() => fc.double({ min: 0.3, max: 4, noNaN: true })))

function measure(
  truth: number[],
  prediction: number[],
  kind: SurfaceKind,
  { voxelSizeMm = [1, 1, 1] as readonly number[], empty = 'nan' as EmptyConvention } = {},
) {
  const [x, y, z] = voxelSizeMm as [number, number, number]
  return evaluateCase({
    ...{ subject: 's', truth, prediction, classNames: ['background', 'a', 'b'], voxelVolumeMl: 1, empty },
    surfaces: { convention: { kind, toleranceMm: 1 }, shape, voxelSizeMm: [x, y, z] },
  }).perClass
}

const ofSurface = ({ nsd, hd95, assd, hd }: Record<string, number | null>) => ({ nsd, hd95, assd, hd })
const filled = (value: number) => Array.from({ length: 60 }, () => value)

describe('the metrics of surfaces', () => {
  test.each(KINDS)('of a mask against itself are 0 mm and 1, whatever it looks like (%s)', (kind) => {
    fc.assert(
      fc.property(labels, voxelSize, (mask, voxelSizeMm) => {
        const { a } = measure(mask, mask, kind, { voxelSizeMm })
        if (mask.includes(1)) expect(ofSurface(a!)).toEqual({ nsd: 1, hd95: 0, assd: 0, hd: 0 })
        else expect(ofSurface(a!)).toEqual({ nsd: null, hd95: null, assd: null, hd: null })
      }),
    )
  })

  test.each(KINDS)('do not depend on which of two masks is the truth, and lie in order (%s)', (kind) => {
    fc.assert(
      fc.property(labels, labels, voxelSize, (one, other, voxelSizeMm) => {
        const there = ofSurface(measure(one, other, kind, { voxelSizeMm }).a!)
        const back = ofSurface(measure(other, one, kind, { voxelSizeMm }).a!)
        for (const [id, value] of Object.entries(there)) {
          const twin = back[id as keyof typeof back]
          if (typeof value === 'number') expect(twin).toBeCloseTo(value, 9)
          else expect(twin).toBe(value)
        }
        if (typeof there.hd !== 'number') return
        expect(there.hd95).toBeLessThanOrEqual(there.hd)
        expect(there.assd).toBeLessThanOrEqual(there.hd)
        expect(there.nsd).toBeGreaterThanOrEqual(0)
        expect(there.nsd).toBeLessThanOrEqual(1)
      }),
    )
  })

  test('grow with the voxels: distances by the same factor', () => {
    fc.assert(
      fc.property(labels, labels, fc.constantFrom(...KINDS), (one, other, kind) => {
        const [small, large] = [measure(one, other, kind).a!, measure(one, other, kind, { voxelSizeMm: [3, 3, 3] }).a!]
        for (const id of ['hd', 'hd95', 'assd'])
          if (typeof small[id] === 'number') expect(large[id]).toBeCloseTo(3 * small[id], 9)
      }),
    )
  })

  test.each(KINDS)(
    'of a class that one volume alone holds: no distance, and NSD 0 whatever 0/0 counts as (%s)',
    (kind) => {
      for (const empty of ['nan', 'one', 'zero'] as const) {
        const missed = measure(filled(1), filled(0), kind, { empty }).a!
        const invented = measure(filled(0), filled(1), kind, { empty }).a!
        expect(ofSurface(missed)).toEqual({ nsd: 0, hd95: null, assd: null, hd: null })
        expect(ofSurface(invented)).toEqual(ofSurface(missed))
      }
    },
  )

  test.each([
    ['nan', null],
    ['one', 1],
    ['zero', 0],
  ] as const)('of a class in neither volume, under the convention %s: no distance, and NSD %s', (empty, nsd) => {
    const { b } = measure(filled(1), filled(1), 'surfel', { empty })
    expect(ofSurface(b!)).toEqual({ nsd, hd95: null, assd: null, hd: null })
  })

  test('are not measured of background, and of no class where they are not asked for', () => {
    const { background, a } = measure(filled(1), filled(1), 'surfel')
    expect(Object.keys(background!)).not.toContain('nsd')
    expect(Object.keys(a!)).toContain('nsd')
    const plain = evaluateCase({
      subject: 's',
      truth: [1],
      prediction: [1],
      classNames: ['background', 'a'],
      voxelVolumeMl: 1,
    })
    expect(Object.keys(plain.perClass.a!)).not.toContain('nsd')
  })

  test('of a class that fills the volume end where the volume does', () => {
    const { a } = measure(filled(1), [...filled(1).slice(0, 59), 0], 'voxel')
    expect(a!.hd).toBe(1)
  })

  test.each(KINDS)('of a scan that is turned are those of one that is not, up to the tolerance itself (%s)', (kind) => {
    // Edges as float32 headers have them: of an axis that is turned, and of 0.8 mm.
    const [truth, prediction] = [filled(0), filled(0)]
    for (const i of [21, 22, 26, 27]) truth[i] = 1
    for (const i of [22, 23, 27, 28]) prediction[i] = 1
    const plain = ofSurface(measure(truth, prediction, kind).a!)
    for (const edge of [0.99999998, 1.00000002])
      expect(ofSurface(measure(truth, prediction, kind, { voxelSizeMm: [edge, edge, edge] }).a!)).toEqual(plain)
    const at = (edge: number, toleranceMm: number) =>
      evaluateCase({
        ...{ subject: 's', truth, prediction, classNames: ['background', 'a', 'b'], voxelVolumeMl: 1 },
        surfaces: { convention: { kind, toleranceMm }, shape, voxelSizeMm: [edge, edge, edge] },
      }).perClass.a!.nsd
    expect(at(Math.fround(0.8), 0.8)).toBeCloseTo(at(1, 1)!, 12)
    expect(at(Math.fround(0.8), 0.79)).toBeCloseTo(at(1, 0.99)!, 12)
    expect(at(1, 0.99)).not.toBe(at(1, 1))
  })

  test('can be stopped between two classes', async () => {
    const labels = filled(1).map((value, i) => (i % 2 === 0 ? value : 2))
    const input = {
      ...{ subject: 's', truth: labels, prediction: labels, classNames: ['background', 'a', 'b'], voxelVolumeMl: 1 },
      surfaces: { convention: { kind: 'surfel' as const, toleranceMm: 1 }, shape, voxelSizeMm: [1, 1, 1] as const },
    }
    expect(await evaluateCaseInTurns(input, new AbortController().signal)).toEqual(evaluateCase(input))
    const stop = new AbortController()
    setImmediate(() => stop.abort())
    await expect(evaluateCaseInTurns(input, stop.signal)).rejects.toMatchObject({ name: 'AbortError' })
  })

  test.each(KINDS)(
    'of a picture have no front and back: discs whose edges lie 6 mm apart share no surface (%s)',
    (kind) => {
      const size = 64
      const disc = (radius: number) =>
        Array.from({ length: size * size }, (_, i) =>
          Number(Math.hypot((i % size) - 31.5, Math.floor(i / size) - 31.5) < radius),
        )
      for (const plane of [
        [size, size, 1],
        [size, 1, size],
        [1, size, size],
      ] as Shape[]) {
        const { a } = evaluateCase({
          ...{ subject: 's', truth: disc(16), prediction: disc(22), classNames: ['background', 'a'], voxelVolumeMl: 1 },
          surfaces: { convention: { kind, toleranceMm: 1 }, shape: plane, voxelSizeMm: [1, 1, 1] },
        }).perClass
        expect(a!.nsd).toBe(0)
        expect(Math.abs(a!.hd95! - 6)).toBeLessThan(0.5)
      }
    },
  )

  test('of labels that do not fill their grid are refused', () => {
    const short = () =>
      evaluateCase({
        ...{ subject: 's', truth: [1, 0], prediction: [1, 0], classNames: ['background', 'a'], voxelVolumeMl: 1 },
        surfaces: { convention: { kind: 'surfel', toleranceMm: 1 }, shape, voxelSizeMm: [1, 1, 1] },
      })
    expect(short).toThrow(/5 x 4 x 3 voxels does not have 2 labels/)
  })
})
