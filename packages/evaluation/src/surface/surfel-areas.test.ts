import { describe, expect, test } from 'vitest'
import { surfelAreas } from './surfel-areas.js'

const sum = (areas: Float64Array): number => areas.reduce((all, area) => all + area, 0)

describe('the area of the surface between eight voxels', () => {
  /** `create_table_neighbour_code_to_surface_area` of DeepMind's surface-distance, summed over its 256 codes. */
  test.each([
    [[1, 1, 1], 241.34313970553745],
    [[3, 2, 1], 950.4895895094023],
    [[0.85, 1.2, 0.9], 232.25876948825402],
  ] as const)('is that of DeepMind, over all codes for voxels of %j mm', (voxelSize, expected) => {
    expect(sum(surfelAreas(voxelSize))).toBeCloseTo(expected, 9)
  })

  test('takes as many values as in the table of DeepMind, each as often', () => {
    const counts = new Map<string, number>()
    for (const area of surfelAreas([1, 1, 1])) counts.set(area.toFixed(6), (counts.get(area.toFixed(6)) ?? 0) + 1)
    expect(Object.fromEntries([...counts].sort())).toEqual({
      ...{
        '0.000000': 2,
        '0.216506': 16,
        '0.433013': 32,
        '0.649519': 16,
        '0.707107': 24,
        '0.866025': 2,
        '0.923613': 48,
      },
      ...{ '1.000000': 6, '1.149519': 48, '1.299038': 8, '1.366025': 24, '1.414214': 6, '1.573132': 24 },
    })
  })

  test('of one voxel is a triangle, and of four that share a face a side of it', () => {
    const areas = surfelAreas([3, 2, 1])
    // Half of the sides 3/2, 2/2 and 1/2: half of the length of (2 * 1, 3 * 1, 3 * 2) / 4.
    expect(areas[1]).toBeCloseTo(Math.hypot(2, 3, 6) / 8, 12)
    expect(areas[0b00001111]).toBeCloseTo(3 * 2, 12)
    expect(areas[0b01010101]).toBeCloseTo(2 * 1, 12)
  })

  test('is the same for a code and for what it leaves', () => {
    const areas = surfelAreas([0.7, 1.1, 2.3])
    for (let code = 0; code < 128; code++) expect(areas[code]).toBeCloseTo(areas[255 - code]!, 12)
  })
})
