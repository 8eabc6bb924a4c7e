import { fileURLToPath } from 'node:url'
import { RecipeSchema } from '@meshfl/core'
import { readGoldenSchedule } from '@meshfl/testkit'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { oneCycle } from './one-cycle.js'

const golden = readGoldenSchedule(fileURLToPath(new URL('../../../fixtures/golden', import.meta.url)))

describe.each(['linear', 'cosine'] as const)('the %s schedule', (anneal) => {
  const recipe = RecipeSchema.parse({ anneal })

  test('is that of PyTorch over 1,650 steps', () => {
    expect(golden[anneal].length).toBeGreaterThan(60)
    for (const [step, learningRate, beta1] of golden[anneal]) {
      const point = oneCycle(step, golden.totalSteps, recipe)
      expect(Math.abs(point.learningRate - learningRate)).toBeLessThan(1e-9)
      expect(Math.abs(point.beta1 - beta1)).toBeLessThan(1e-9)
    }
  })

  test('stays between its ends, and beta1 moves against the learning rate', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 5000 }),
        fc.double({ min: 0.01, max: 0.99, noNaN: true }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (total, warmupFraction, at) => {
          const step = Math.floor(at * total)
          const { learningRate, beta1 } = oneCycle(step, total, { ...recipe, warmupFraction })
          const { maxLearningRate: max, initialDivisor, finalDivisor } = recipe
          expect(learningRate).toBeGreaterThanOrEqual((max / initialDivisor / finalDivisor) * (1 - 1e-9))
          expect(learningRate).toBeLessThanOrEqual(max * (1 + 1e-9))
          expect(beta1).toBeGreaterThanOrEqual(recipe.baseMomentum - 1e-9)
          expect(beta1).toBeLessThanOrEqual(recipe.maxMomentum + 1e-9)
        },
      ),
    )
  })

  test('rises once and falls once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 300 }), (total) => {
        const rates = Array.from({ length: total }, (_, step) => oneCycle(step, total, recipe).learningRate)
        const turns = rates.slice(2).filter((_, i) => rates[i]! < rates[i + 1]! !== rates[i + 1]! < rates[i + 2]!)
        expect(turns.length).toBeLessThanOrEqual(1)
      }),
    )
  })
})

test('the last step has the final learning rate, maximum / 25 / 10,000', () => {
  expect(oneCycle(1649, 1650, RecipeSchema.parse({})).learningRate).toBeCloseTo(2e-8, 15)
})

test('a warm-up of exactly one step begins at the peak, where PyTorch divides by zero', () => {
  expect(oneCycle(0, 10, RecipeSchema.parse({}))).toEqual({ learningRate: 5e-3, beta1: 0.85 })
})

test('a step outside the schedule is a mistake', () => {
  const recipe = RecipeSchema.parse({})
  expect(() => oneCycle(10, 10, recipe)).toThrow(RangeError)
  expect(() => oneCycle(-1, 10, recipe)).toThrow(RangeError)
})
