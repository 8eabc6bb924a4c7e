import { expect, test } from 'vitest'
import { labelColourTable } from './label-colour-table.js'

test('every place has its colour, and background none', () => {
  const { R, G, B, A, I } = labelColourTable(['#102030', '#ff0001'])
  const at = (place: number) => [R, G, B, A].map((channel) => channel[I.indexOf(place)])
  expect(at(0)).toEqual([0, 0, 0, 0])
  expect(at(1)).toEqual([16, 32, 48, 255])
  expect(at(2)).toEqual([255, 0, 1, 255])
})

test.each([1, 3, 63, 64, 148, 300, 4095])(
  'with %i classes, background lies beyond the part of the table that is lifted',
  (classes) => {
    const { I, A } = labelColourTable(new Array<string>(classes).fill('#ffffff'))
    // NiiVue 0.69.0, setupColormapLabel and fragOrientShader: (f - (min - 0.5)) / (max - min + 1), at least 2/256.
    expect((0 - (I[0]! - 0.5)) / I.length).toBeGreaterThanOrEqual(2 / 256)
    expect(I).toEqual(I.map((_, i) => I[0]! + i))
    expect(A.filter((alpha) => alpha === 255)).toHaveLength(classes)
  },
)
