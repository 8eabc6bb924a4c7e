import { elementCount, type ModelLayout, type ModelState } from '@meshfl/core'
import { findUnusable } from './vector-tensor.js'

/**
 * The largest parameter of an update. A mesh of ten layers that begins a round with parameters up to here still trains (test/conformance/spoiled-models.test.ts):
 * BatchNorm takes its statistics of the batch, so that sizes do not multiply from layer to layer. With 2^20 and
 * most of the weight the statistics of an honest site's next update come to 2^87; with 2^60 its training diverges. Adam moves a parameter by about
 * a learning rate a step: with the default recipe it would take 13 million steps in one direction to come here.
 */
export const LARGEST_PARAMETER = 2 ** 16

/**
 * Running means and variances of channels. What honest sites measure with parameters of `LARGEST_PARAMETER` stays below (2^35 and
 * 2^71 were seen), so that no update makes a model whose next updates are refused. Pooling adds to the variances the squares of means, which
 * are a sixteenth of what is allowed, and stays within float32.
 */
export const LARGEST_MEAN = 2 ** 40
export const LARGEST_VARIANCE = 2 ** 84

/** Of gradients and control variates: Adam's second moment holds their squares. */
export const LARGEST_GRADIENT = 2 ** 40

/**
 * What of an update no honest training sends, in words; undefined when there is nothing.
 * @param holds what stands where the model has its parameters: with `sync: step` gradients
 */
export function outOfBounds(
  layout: ModelLayout,
  { parameters, statistics }: ModelState,
  holds: 'parameters' | 'gradients',
): string | undefined {
  const most = holds === 'gradients' ? LARGEST_GRADIENT : LARGEST_PARAMETER
  return (
    beyond(`a float of the ${holds}`, parameters, most) ??
    firstOf(layout.statistics, ({ name, shape, offset }) => {
      const values = statistics.subarray(offset, offset + elementCount(shape))
      // Below 0 it has no square root: whoever scores the model finds no loss.
      if (name.endsWith('running_var')) return beyond(`a float of ${name}`, values, LARGEST_VARIANCE, 0)
      return beyond(`a float of ${name}`, values, LARGEST_MEAN)
    })
  )
}

function beyond(what: string, values: Float32Array, most: number, least = -most): string | undefined {
  const at = findUnusable(values, most, least)
  if (at < 0) return undefined
  return `${what}, number ${at}, is ${values[at]}: not from ${short(least)} to ${short(most)}`
}

const short = (bound: number): number => Number(bound.toPrecision(3))

function firstOf<T, R>(items: readonly T[], find: (item: T) => R | undefined): R | undefined {
  for (const item of items) {
    const found = find(item)
    if (found !== undefined) return found
  }
  return undefined
}
