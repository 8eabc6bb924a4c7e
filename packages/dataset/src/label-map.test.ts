import { existsSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { loadLabelMap, mapLabels, parseLabelMap } from './label-map.js'

const COHORT_MAP = new URL('../../../../shared/data/cohort-ixi-2mm/label-map.json', import.meta.url).pathname

describe('gw3', () => {
  test('reads the codes of aseg and aparc+aseg', async () => {
    const map = await loadLabelMap('gw3')
    const white = [2, 41, 7, 16, 46, 28, 60, 77, 78, 79, 250, 255]
    const grey = [3, 42, 1000, 1035, 2000, 2035, 11100, 11175, 12100, 12175, 8, 13, 17, 20, 26, 27, 47, 55, 58, 59]
    const background = [0, 4, 5, 14, 15, 24, 31, 43, 44, 63, 72, 30, 62, 80, 85]
    const { classes, unmapped } = mapLabels(Int32Array.from([...white, ...grey, ...background]), map)
    expect([...classes]).toEqual([...white.map(() => 1), ...grey.map(() => 2), ...background.map(() => 0)])
    expect(unmapped).toEqual([])
  })

  test('takes a label that holds 0, 1, 2 as it is', async () => {
    expect([...mapLabels([0, 1, 2, 1], await loadLabelMap('gw3')).classes]).toEqual([0, 1, 2, 1])
  })

  test('reads 0, 0.5, 1 as the same three, halved', async () => {
    expect([...mapLabels(Float32Array.of(0, 0.5, 1, 0.5), await loadLabelMap('gw3')).classes]).toEqual([0, 1, 2, 1])
  })

  test('a code that is not listed becomes background and is counted', async () => {
    const { classes, unmapped } = mapLabels([2, 3, 502, 502, 3, 502, 999], await loadLabelMap('gw3'))
    expect([...classes]).toEqual([1, 2, 0, 0, 2, 0, 0])
    expect(unmapped).toEqual([
      { code: 502, voxels: 3 },
      { code: 999, voxels: 1 },
    ])
    expect(mapLabels([0, 2, 3, 502, 4], await loadLabelMap('gw3')).mapped).toBe(2 / 4)
  })
})

describe('aseg', () => {
  test("has brainchop's 18 classes and joins left and right", async () => {
    const map = await loadLabelMap('aseg')
    expect(map.classes).toHaveLength(18)
    const hippocampus = map.classes.findIndex(({ name }) => name === 'hippocampus')
    expect([...mapLabels([17, 53, 1012, 12110, 0], map).classes]).toEqual([hippocampus, hippocampus, 2, 2, 0])
  })

  test('no code of a built-in map has two classes', async () => {
    for (const name of ['gw3', 'aseg']) {
      const map = await loadLabelMap(name)
      for (const { codes } of map.vocabularies)
        for (const value of codes.values()) expect(map.classes[value]).toBeDefined()
    }
  })
})

describe('identity', () => {
  test('keeps every code that can be a class', async () => {
    const map = await loadLabelMap('identity')
    fc.assert(
      fc.property(fc.array(fc.nat(127)), (codes) => {
        expect([...mapLabels(codes, map).classes]).toEqual(codes)
      }),
    )
  })

  test('counts codes above 127 as unmapped, which makes a case an error', async () => {
    expect(mapLabels([1, 128, 1000], await loadLabelMap('identity')).unmapped.map(({ code }) => code)).toEqual([
      128, 1000,
    ])
  })
})

describe('a label map file', () => {
  const file = (classes: unknown): string => JSON.stringify({ name: 'mine', from: 'a scanner', classes })

  test('maps each of its codes to the class that lists it', () => {
    const map = parseLabelMap(
      file([
        { value: 1, name: 'white matter', codes: [7, 9] },
        { value: 0, name: 'background', codes: [0, 3] },
      ]),
      'map.json',
    )
    expect(map.classes).toEqual([
      { value: 0, name: 'background' },
      { value: 1, name: 'white matter' },
    ])
    expect(mapLabels([7, 3, 9, 4], map)).toMatchObject({ unmapped: [{ code: 4, voxels: 1 }] })
  })

  test('is refused where a value is missing, a code is listed twice, two classes share a name, or it is no JSON', () => {
    const refused = [
      file([
        { value: 0, name: 'a', codes: [0] },
        { value: 2, name: 'b', codes: [1] },
      ]),
      file([
        { value: 0, name: 'a', codes: [0] },
        { value: 1, name: 'b', codes: [0] },
      ]),
      file([{ value: 0, name: 'a', codes: [0] }]),
      file([
        { value: 0, name: 'a', codes: [0] },
        { value: 1, name: 'a', codes: [1] },
      ]),
      '{',
      'null',
    ]
    for (const text of refused) {
      expect(() => parseLabelMap(text, 'map.json')).toThrowError(expect.objectContaining({ code: 'LABEL_MAP_INVALID' }))
    }
  })

  test('never fails in any other way, whatever is in it', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          parseLabelMap(text, 'map.json')
        } catch (error) {
          expect(error).toMatchObject({ code: 'LABEL_MAP_INVALID' })
        }
      }),
    )
  })

  test.skipIf(!existsSync(COHORT_MAP))('of the cohort is read (skipped where ../shared/data is absent)', async () => {
    const map = await loadLabelMap(COHORT_MAP)
    expect(map.name).toBe('muse-gw3')
    expect([...mapLabels([0, 35, 23, 51, 207], map).classes]).toEqual([0, 1, 2, 0, 2])
  })

  test('that does not exist is a mistake of usage', async () => {
    await expect(loadLabelMap('no-such-map')).rejects.toMatchObject({ code: 'LABEL_MAP_UNKNOWN', kind: 'usage' })
  })
})

test('mapping a label is the same as mapping its voxels one by one', async () => {
  const map = await loadLabelMap('gw3')
  const codes = map.vocabularies.at(-1)!.codes
  fc.assert(
    fc.property(fc.array(fc.constantFrom(0, 2, 41, 3, 1003, 4, 502)), (voxels) => {
      const { classes } = mapLabels([...voxels, 41], map)
      expect([...classes]).toEqual([...voxels, 41].map((code) => codes.get(code) ?? 0))
    }),
  )
})
