import type { ModelLayout, ModelState } from '@meshfl/core'
import { copyModel, modelBytes } from './frame.js'

const MOST_IN_ONE = 64

/**
 * Where the accepted updates of a round lie until it is closed: many in one piece of memory. What ZeroMQ hands over is one piece for
 * each frame, which V8 counts twice: of thousands that are kept for a round it would look through all it holds every few hundred.
 */
export class UpdateSlabs {
  readonly #layout: ModelLayout
  readonly #slabBytes: number
  #slab: Uint8Array = new Uint8Array()
  #used = 0

  /** @param sites that a round has at least */
  constructor(layout: ModelLayout, sites: number) {
    this.#layout = layout
    this.#slabBytes = modelBytes(layout) * Math.min(sites, MOST_IN_ONE)
  }

  /** The same model, somewhere else. */
  keep(model: ModelState): ModelState {
    const bytes = modelBytes(this.#layout)
    if (this.#used + bytes > this.#slab.length) {
      this.#slab = new Uint8Array(this.#slabBytes)
      this.#used = 0
    }
    const place = this.#slab.subarray(this.#used, this.#used + bytes)
    this.#used += bytes
    return copyModel(this.#layout, model, place)
  }
}
