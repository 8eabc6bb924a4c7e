import { MeshflError } from '@meshfl/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { confusionOf, diceFromConfusion } from './confusion.js'

const names = ['background', 'white matter', 'grey matter']
const dice = (truth: number[], prediction: number[], classes = names) =>
  diceFromConfusion(confusionOf(truth, prediction, classes.length), classes)

describe('Dice from confusion counts', () => {
  test('identical volumes have Dice 1', () => {
    expect(dice([0, 1, 2, 2], [0, 1, 2, 2])).toEqual({
      perClass: { background: 1, 'white matter': 1, 'grey matter': 1 },
      foregroundDice: 1,
    })
  })

  test('disjoint volumes have Dice 0', () => {
    expect(dice([1, 1, 0, 0], [0, 0, 1, 1], ['background', 'brain'])).toEqual({
      perClass: { background: 0, brain: 0 },
      foregroundDice: 0,
    })
  })

  test("the reference's example of label 1 is 2 * 1 / (2 + 1)", () => {
    expect(dice([1, 1, 0, 0], [1, 0, 0, 0], ['background', 'brain']).perClass.brain).toBeCloseTo(2 / 3, 15)
  })

  test('a class that is in neither volume is null and left out of the foreground mean', () => {
    expect(dice([0, 1, 1], [0, 1, 0])).toEqual({
      perClass: { background: 2 / 3, 'white matter': 2 / 3, 'grey matter': null },
      foregroundDice: 2 / 3,
    })
  })

  test('with nothing but background there is no foreground mean', () => {
    expect(dice([0, 0], [0, 0]).foregroundDice).toBeNull()
  })

  const pair = fc.integer({ min: 1, max: 5 }).chain((classes) => {
    const labels = fc.integer({ min: 0, max: classes - 1 })
    const length = fc.integer({ min: 1, max: 60 })
    return length.chain((n) =>
      fc.record({
        classes: fc.constant(classes),
        truth: fc.array(labels, { minLength: n, maxLength: n }),
        prediction: fc.array(labels, { minLength: n, maxLength: n }),
      }),
    )
  })

  test('equals direct counting, is symmetric and lies in 0..1', () => {
    fc.assert(
      fc.property(pair, ({ classes, truth, prediction }) => {
        const labels = Array.from({ length: classes }, (_, index) => `class ${index}`)
        const result = dice(truth, prediction, labels)
        expect(dice(prediction, truth, labels)).toEqual(result)
        labels.forEach((name, index) => {
          const a = truth.filter((value) => value === index).length
          const b = prediction.filter((value) => value === index).length
          const both = truth.filter((value, i) => value === index && prediction[i] === index).length
          const value = result.perClass[name]
          if (a + b === 0) expect(value).toBeNull()
          else {
            expect(value).toBeCloseTo((2 * both) / (a + b), 12)
            expect(value).toBeGreaterThanOrEqual(0)
            expect(value).toBeLessThanOrEqual(1)
          }
        })
      }),
    )
  })

  test('a label that no class has is refused by name', () => {
    expect(() => confusionOf([0, 3], [0, 0], 3)).toThrow(MeshflError)
    expect(() => confusionOf([0, 0], [0, 3], 3)).toThrow(/voxel 1 of the prediction is 3/)
    expect(() => confusionOf([0.5, 0], [0, 0], 2)).toThrow(/voxel 0 of the truth is 0.5/)
    expect(() => confusionOf([0, 0], [Number.NaN, 0], 3)).toThrow(/voxel 0 of the prediction is NaN/)
  })

  test('volumes of different sizes are refused', () => {
    expect(() => confusionOf([0, 0], [0], 3)).toThrow(/1 voxels, the truth 2/)
  })
})
