import { expect, test } from 'vitest'
import { classPlaces } from './class-places.js'

const placesOf = (maps: number[][], named: number[], colours: number) => [
  ...classPlaces(
    maps.map((values) => ({ values, named })),
    colours,
  ),
]

test('no two classes share a colour while there are colours left', () => {
  // Codes of FreeSurfer: 3 and 10 are the same modulo 7.
  expect(placesOf([[0, 3, 10, 17]], [], 7)).toEqual([
    [3, 0],
    [10, 1],
    [17, 2],
  ])
})

test('a class has the same place in every map of a scene', () => {
  expect(
    placesOf(
      [
        [0, 41, 2],
        [0, 2, 3],
      ],
      [],
      7,
    ),
  ).toEqual([
    [2, 0],
    [3, 1],
    [41, 2],
  ])
})

test('a named class keeps its colour where another is missing, as long as all have one', () => {
  expect(placesOf([[0, 2]], [0, 1, 2], 7)).toEqual([
    [1, 0],
    [2, 1],
  ])
  expect(placesOf([[0, 2]], [0, 1, 2, 3], 2)).toEqual([[2, 0]])
})
