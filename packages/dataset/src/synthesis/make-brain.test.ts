import { describe, expect, test } from 'vitest'
import { bestThresholds } from './best-thresholds.js'
import { type BrainOptions, makeBrain } from './make-brain.js'

const GRID = { shape: [48, 48, 48], voxelSizeMm: 4 } as const
const brains = [1, 2, 3, 4, 5, 6].map((seed) => makeBrain({ seed, ...GRID }))

function millilitres(label: Uint8Array, value: number): number {
  return (label.reduce((count, voxel) => count + (voxel === value ? 1 : 0), 0) * GRID.voxelSizeMm ** 3) / 1000
}

describe('makeBrain', () => {
  test('the same seed gives the same bytes', () => {
    const again = makeBrain({ seed: 1, ...GRID })
    expect(Buffer.compare(again.image, brains[0]!.image)).toBe(0)
    expect(Buffer.compare(again.label, brains[0]!.label)).toBe(0)
  })

  test('another seed gives another head, not the same one with other noise', () => {
    const [a, b] = [brains[0]!.label, brains[1]!.label]
    const different = a.reduce((count, value, i) => count + (value === b[i] ? 0 : 1), 0)
    expect(different / a.length).toBeGreaterThan(0.03)
  })

  test('brains have volumes of white and grey matter as people have', () => {
    for (const { label } of brains) {
      for (const value of [1, 2]) {
        expect(millilitres(label, value)).toBeGreaterThan(350)
        expect(millilitres(label, value)).toBeLessThan(750)
      }
      expect(new Set(label)).toEqual(new Set([0, 1, 2]))
    }
  })

  test('white matter is brighter than grey matter, and grey matter than the air around', () => {
    for (const { image, label } of brains) {
      const sum = [0, 0, 0]
      const count = [0, 0, 0]
      label.forEach((value, i) => {
        sum[value]! += image[i]!
        count[value]!++
      })
      expect(sum[1]! / count[1]!).toBeGreaterThan(1.15 * (sum[2]! / count[2]!))
      expect(image[0]!).toBeLessThan(40)
    }
  })

  test('intensity alone cannot segment it: the best two thresholds stay under 0.65, for each brain and for all', () => {
    const names = ['background', 'white matter', 'grey matter'] as const
    for (const brain of brains) expect(bestThresholds([brain], names).foregroundDice).toBeLessThan(0.65)
    expect(bestThresholds(brains, names).foregroundDice).toBeLessThan(0.62)
  })

  test('the whole brain lies within the field of view', () => {
    const last = GRID.shape[0] - 1
    for (const { label } of brains) {
      const onBorder = label.filter((value, i) => {
        const place = [i % 48, Math.floor(i / 48) % 48, Math.floor(i / 48 ** 2)]
        return value !== 0 && place.some((n) => n === 0 || n === last)
      })
      expect(onBorder).toHaveLength(0)
    }
  })

  test('the affine is that of a conformed volume: LIA, the middle voxel at the origin', () => {
    expect(brains[0]!.affine).toEqual([-4, 0, 0, 96, 0, 0, 4, -96, 0, -4, 0, 96, 0, 0, 0, 1])
  })

  test('contrast, noise and bias change the image and never the labels', () => {
    const coarse = { seed: 1, shape: [24, 24, 24], voxelSizeMm: 8 } as const
    const plain = makeBrain(coarse)
    const looks: Partial<BrainOptions>[] = [{ contrast: 0.5 }, { noise: 0.1 }, { bias: 0.3 }]
    for (const look of looks) {
      const { image, label } = makeBrain({ ...coarse, ...look })
      expect(Buffer.compare(label, plain.label)).toBe(0)
      expect(Buffer.compare(image, plain.image)).not.toBe(0)
    }
  })

  test.each([
    { shape: [48, 48, 0], voxelSizeMm: 4 },
    { shape: [48, 48, 4.5], voxelSizeMm: 4 },
    { shape: [48, 48, 48], voxelSizeMm: 0 },
    { shape: [48, 48, 48], voxelSizeMm: Number.NaN },
    { shape: [1024, 48, 48], voxelSizeMm: 1 },
  ] as const)('a grid of $shape voxels of $voxelSizeMm mm is refused', (grid) => {
    expect(() => makeBrain({ seed: 0, ...grid })).toThrow(expect.objectContaining({ code: 'SYNTHESIS_GRID' }))
  })
})
