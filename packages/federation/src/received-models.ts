import type { ModelState } from '@meshfl/core'
import { decodeModelBody, decodeVectorBody, ProtocolError } from './frame.js'
import type { Header } from './messages.js'
import { STRATEGIES } from './strategies/index.js'
import type { Welcome } from './welcome.js'

interface Received {
  model: ModelState
  vector?: Float32Array
}

/** The model that came last, to whichever site of this process. */
let last: { base: string; model: WeakRef<ModelState> } | undefined

/** The same model, as another site of this process holds it: thousands of sites are sent the same, and nobody changes it. */
function heldOnce(base: string, model: ModelState): ModelState {
  const known = last?.base === base ? last.model.deref() : undefined
  if (known?.parameters.length === model.parameters.length) return known
  last = { base, model: new WeakRef(model) }
  return model
}

/** What tasks came with, by the model's hash: of the task at work and of the next. */
export class ReceivedModels {
  readonly #models = new Map<string, Received>()

  /**
   * @param isInUse whether a task that is not done needs a model
   * @throws ProtocolError
   */
  take(
    { purpose, base, vectorSha256 }: Header<'TASK'>,
    bodies: readonly Uint8Array[],
    { layout, study }: Welcome,
    isInUse: (base: string) => boolean,
  ): void {
    if (!this.#models.has(base)) {
      // Two are in use at most: whoever sends more models than tasks that can be done gets no more memory for it.
      for (const known of this.#models.keys()) if (!isInUse(known)) this.#models.delete(known)
      if (bodies[0]!.length === 0) throw new ProtocolError('a task without its model') // it comes with the next one
      this.#models.set(base, { model: heldOnce(base, decodeModelBody(layout, bodies[0]!, { expectedSha256: base })) })
    }
    if (vectorSha256 !== undefined) this.#models.get(base)!.vector = decodeVectorBody(bodies[1]!, vectorSha256)
    else if (purpose === 'train' && STRATEGIES[study.federation.strategy].taskVector)
      throw new ProtocolError('a task without its vector')
  }

  /** What the task that begins came with; the others' models go. */
  begin(base: string): Received {
    for (const known of this.#models.keys()) if (known !== base) this.#models.delete(known)
    return this.#models.get(base)!
  }
}
