import { batchNormOf, elementCount, type Federation, type ModelLayout, type ModelState } from '@meshfl/core'

/** What of a model a site does not take from the coordinator but keeps from its own last round. */
export type OwnPart = 'nothing' | 'normalization' | 'everything'

export function ownPartOf(federation: Federation): OwnPart {
  if (federation.strategy === 'meshfl-reference') return 'everything'
  return batchNormOf(federation) === 'local' ? 'normalization' : 'nothing'
}

/**
 * The global model with a site's own part in its place; the arrays given are not changed.
 * @param own the site's last model; null before its first round, when it has nothing of its own
 */
export function withOwnPart(layout: ModelLayout, model: ModelState, own: ModelState | null, part: OwnPart): ModelState {
  if (own === null || part === 'nothing') return model
  if (part === 'everything') return own
  const parameters = model.parameters.slice()
  for (const { name, shape, offset } of layout.parameters) {
    if (!isNormalization(layout, name)) continue
    parameters.set(own.parameters.subarray(offset, offset + elementCount(shape)), offset)
  }
  return { parameters, statistics: own.statistics }
}

/** Whether a parameter is scale or shift of a BatchNorm: a running mean has the same prefix. */
function isNormalization(layout: ModelLayout, name: string): boolean {
  const prefix = name.slice(0, name.lastIndexOf('.') + 1)
  return layout.statistics.some((entry) => entry.name === `${prefix}running_mean`)
}
