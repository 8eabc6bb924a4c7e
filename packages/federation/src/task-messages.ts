import type { Commits } from './coordinator-commits.js'
import type { CoordinatorEffect, CoordinatorState } from './coordinator-state.js'
import { placeIn } from './coordinator-steps.js'
import { encodeJsonBody } from './frame.js'
import { type Header, PROTOCOL_VERSION } from './messages.js'
import type { DataKeys } from './study-of-sites.js'

interface TaskMessagesOptions {
  runId: string
  commits: Commits
  /** What the model files say of the sites' data. */
  dataKeys(): DataKeys
  send(session: string, header: Header, bodies: readonly Uint8Array[]): void
}

/** Sends models to sites: with tasks, and at the end. A site that was sent a model a moment ago gets its hash alone. */
export class TaskMessages {
  readonly #options: TaskMessagesOptions
  /** Hash of the model that each session was sent last. */
  readonly #sentModels = new Map<string, string>()

  constructor(options: TaskMessagesOptions) {
    this.#options = options
  }

  task(effect: Extract<CoordinatorEffect, { type: 'task' }>): void {
    const { commits, send } = this.#options
    const { session, purpose, round, base, again, place, asIs } = effect
    const isKnown = this.#sentModels.get(session) === base && !again
    this.#sentModels.set(session, base)
    const vector = purpose === 'train' ? commits.vector : undefined
    send(
      session,
      {
        ...{ v: PROTOCOL_VERSION, type: 'TASK', purpose, round, base },
        ...(place ? { place } : {}),
        ...(asIs ? { asIs } : {}),
        ...(vector ? { vectorSha256: vector.vectorSha256 } : {}),
      },
      [isKnown ? new Uint8Array() : asIs ? commits.bodyOf(base) : commits.modelBody, ...(vector ? [vector.body] : [])],
    )
  }

  /** The final model, and how a scan is conformed for it. */
  done(session: string, state: CoordinatorState): void {
    const { runId, commits, dataKeys, send } = this.#options
    const { best, base } = state
    const { round } = placeIn(state, state.round)
    send(session, { v: PROTOCOL_VERSION, type: 'DONE', run: runId, rounds: round, result: base, best }, [
      commits.modelBody,
      encodeJsonBody(dataKeys()),
    ])
  }

  forget(session: string): void {
    this.#sentModels.delete(session)
  }
}
