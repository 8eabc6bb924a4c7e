import type { ModelLayout, ModelState, NamedTensor } from '@meshfl/core'
import { encodeModelBody, modelBytes } from './frame.js'
import { floatsOf } from './vector-tensor.js'

const PREFIX = 'update.'
const MODEL = 'model'

/** A model as one tensor: what records hold that nobody reads but us. */
export function modelTensor(model: ModelState): NamedTensor {
  const data = encodeModelBody(model)
  return { name: MODEL, dtype: 'F32', shape: [data.length / 4], data }
}

/** What `modelTensor` wrote. @throws Error where there is none, or one of another layout */
export function readModelTensor(layout: ModelLayout, tensors: readonly NamedTensor[]): ModelState {
  const data = tensors.find(({ name }) => name === MODEL)?.data
  if (data?.length !== modelBytes(layout)) throw new Error('it has no model of this layout')
  const floats = floatsOf(data)
  return { parameters: floats.subarray(0, layout.parameterCount), statistics: floats.subarray(layout.parameterCount) }
}

/** The sites' last models as tensors of a commit: parameters, then statistics, by the site's name. */
export function updateTensors(updates: ReadonlyMap<string, ModelState>): NamedTensor[] {
  return [...updates]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([site, model]) => {
      const data = encodeModelBody(model)
      return { name: `${PREFIX}${site}`, dtype: 'F32', shape: [data.length / 4], data }
    })
}

/** What `updateTensors` wrote. */
export function readUpdates(layout: ModelLayout, tensors: readonly NamedTensor[]): Map<string, ModelState> {
  const updates = new Map<string, ModelState>()
  for (const { name, data } of tensors) {
    if (!name.startsWith(PREFIX)) continue
    const floats = floatsOf(data)
    updates.set(name.slice(PREFIX.length), {
      parameters: floats.slice(0, layout.parameterCount),
      statistics: floats.slice(layout.parameterCount),
    })
  }
  return updates
}
