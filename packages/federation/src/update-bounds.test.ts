import type { ModelState } from '@meshfl/core'
import { expect, test } from 'vitest'
import { LAYOUT, randomModel } from './loopback.fixture.js'
import { LARGEST_GRADIENT, LARGEST_MEAN, LARGEST_PARAMETER, LARGEST_VARIANCE, outOfBounds } from './update-bounds.js'

/** Five running means, then five variances. */
function withStatistic(index: number, value: number): ModelState {
  const { parameters, statistics } = randomModel('bounds')
  return { parameters, statistics: statistics.with(index, value) }
}

function withParameter(value: number): ModelState {
  const { parameters, statistics } = randomModel('bounds')
  return { parameters: parameters.with(3, value), statistics }
}

test('numbers up to the bounds may be sent, and variances of 0', () => {
  for (const size of [LARGEST_PARAMETER, -LARGEST_PARAMETER])
    expect(outOfBounds(LAYOUT, withParameter(size), 'parameters')).toBeUndefined()
  expect(outOfBounds(LAYOUT, withParameter(-LARGEST_GRADIENT), 'gradients')).toBeUndefined()
  for (const size of [LARGEST_MEAN, -LARGEST_MEAN])
    expect(outOfBounds(LAYOUT, withStatistic(4, size), 'parameters')).toBeUndefined()
  for (const size of [LARGEST_VARIANCE, 0])
    expect(outOfBounds(LAYOUT, withStatistic(5, size), 'parameters')).toBeUndefined()
})

test.each(['parameters', 'gradients'] as const)('a negative variance is refused beside %s, and named', (holds) => {
  expect(outOfBounds(LAYOUT, withStatistic(9, -1e-9), holds)).toMatch(
    /^a float of model\.0\.1\.running_var, number 4, is -9\.99\d*e-10: not from 0 to/,
  )
})

test('larger numbers are refused, each by its own bound', () => {
  const above = 1.001
  expect(outOfBounds(LAYOUT, withParameter(-LARGEST_PARAMETER * above), 'parameters')).toMatch(
    /of the parameters, number 3/,
  )
  expect(outOfBounds(LAYOUT, withParameter(LARGEST_GRADIENT * above), 'gradients')).toMatch(
    /of the gradients, number 3/,
  )
  expect(outOfBounds(LAYOUT, withStatistic(0, LARGEST_MEAN * above), 'parameters')).toMatch(/running_mean, number 0/)
  expect(outOfBounds(LAYOUT, withStatistic(5, LARGEST_VARIANCE * above), 'parameters')).toMatch(/running_var, number 0/)
  expect(outOfBounds(LAYOUT, withStatistic(5, Number.NaN), 'parameters')).toMatch(/is NaN/)
})
