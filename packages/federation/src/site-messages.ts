import type { ModelLayout, Study } from '@meshfl/core'
import type { Admissions } from './admissions.js'
import type { CoordinatorEvent, Told } from './coordinator-state.js'
import type { JournalEntry } from './coordinator-store.js'
import { type Message, ProtocolError } from './frame.js'
import type { SiteMessage } from './gate.js'
import { EvaluationSchema, type Header, PROTOCOL_VERSION } from './messages.js'
import type { OperatorNotices } from './operator-notices.js'
import { checkWeight, readScores, readUpdate } from './read-update.js'

type WithoutAt<E> = E extends unknown ? Omit<E, 'at'> : never

interface SiteMessagesOptions {
  runId: string
  study: Study
  layout: ModelLayout
  admissions: Admissions
  notices: OperatorNotices
  tell(event: Told): void
  send(session: string, header: Header): void
  /** Holds an update until the machine has decided about it. */
  offer(entry: JournalEntry): void
  dispatch(event: WithoutAt<CoordinatorEvent>): void
}

/** What joined sites say, checked against the study and turned into events of the state machine. */
export class SiteMessages {
  readonly #options: SiteMessagesOptions

  constructor(options: SiteMessagesOptions) {
    this.#options = options
  }

  receive(site: string, session: string, { header, bodies }: Message<SiteMessage>): void {
    const { dispatch, tell, send, notices } = this.#options
    switch (header.type) {
      case 'PING': {
        send(session, { v: PROTOCOL_VERSION, type: 'PONG' })
        const { working, progress } = header
        dispatch({ type: 'heard', site, session, working, ...(progress ? { step: progress } : {}) })
        if (working?.purpose !== 'train' || !progress || progress.loss === null) break
        tell({ type: 'step', site, round: working.round, ...progress, loss: progress.loss })
        break
      }
      case 'RESULT':
        this.#receiveResult(site, session, header, bodies)
        break
      case 'ERROR':
        notices.stack(Buffer.from(bodies[0]!).toString('utf8'), site)
        dispatch({ type: 'failed', site, session, reason: `${header.phase}: ${header.message}` })
        break
      case 'BYE':
        send(session, { v: PROTOCOL_VERSION, type: 'BYE', reason: header.reason })
        dispatch({ type: 'bye', site, session, reason: header.reason })
        break
    }
  }

  #receiveResult(site: string, session: string, header: Header<'RESULT'>, bodies: readonly Uint8Array[]): void {
    const { round, base, purpose } = header
    const { notices, send } = this.#options
    try {
      if (purpose === 'evaluate') this.#receiveScores(site, session, header, bodies)
      else this.#receiveUpdate(site, session, header, bodies)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      const reason = error.message.slice(0, 1000)
      notices.refused(`${site}: its result of round ${round} was refused: ${reason}`, site)
      send(session, { v: PROTOCOL_VERSION, type: 'ACK', purpose, round, base, status: 'rejected', reason })
    }
  }

  #receiveScores(site: string, session: string, header: Header<'RESULT'>, bodies: readonly Uint8Array[]): void {
    const { admissions, study, dispatch } = this.#options
    const { round, base, samples } = header
    const scores = readScores(EvaluationSchema, bodies[1]!, study)
    checkWeight('validation cases', samples, admissions.siteOf(site)!.description.validCases)
    dispatch({ type: 'evaluation', site, session, round, base, metrics: { ...scores, site, weight: samples } })
  }

  #receiveUpdate(site: string, session: string, header: Header<'RESULT'>, bodies: readonly Uint8Array[]): void {
    const { layout, admissions, runId, study, offer, dispatch } = this.#options
    const entry = readUpdate(header, bodies, {
      run: runId,
      admitted: admissions.siteOf(site)!,
      study,
      layout,
    })
    const { round, base, update, samples, metrics } = entry
    offer(entry)
    dispatch({ type: 'result', site, session, round, base, update, samples, metrics })
  }
}
