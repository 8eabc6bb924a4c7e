import type { ModelLayout, Study } from '@meshfl/core'
import type { Admissions } from './admissions.js'
import type { CoordinatorEvent } from './coordinator-state.js'
import type { JournalEntry } from './coordinator-store.js'
import { type Message, ProtocolError } from './frame.js'
import type { SiteMessage } from './gate.js'
import { verifyUpdate, verifyUpdateLater } from './ledger.js'
import { EvaluationSchema, type Header, PROTOCOL_VERSION } from './messages.js'
import type { OperatorNotices } from './operator-notices.js'
import { checkCasesPerClass, checkUpdate, checkWeight, decodeUpdate, readScores } from './read-update.js'
import { SessionOrder } from './session-order.js'

type WithoutAt<E> = E extends unknown ? Omit<E, 'at'> : never

/** So many signatures of a turn of the event loop are checked where they are: a few are done sooner than they are handed on. */
const CHECKED_AT_ONCE = 8

interface SiteMessagesOptions {
  runId: string
  study: Study
  layout: ModelLayout
  admissions: Admissions
  notices: OperatorNotices
  send(session: string, header: Header): void
  /** Holds an update until the machine has decided about it. */
  offer(entry: JournalEntry): number
  dispatch(event: WithoutAt<CoordinatorEvent>): void
  /** Runs what follows when an update's signature was checked. */
  guard(work: () => void): void
  /** Default: `CHECKED_AT_ONCE`. */
  checkedAtOnce?: number | undefined
}

/**
 * What joined sites say, checked against the study and turned into events of the state machine: of each session in the order in which it
 * came, though the signatures of updates that come in numbers are checked beside other work.
 */
export class SiteMessages {
  readonly #options: SiteMessagesOptions
  readonly #order: SessionOrder
  readonly #mostAtOnce: number
  #checkedAtOnce = 0

  constructor(options: SiteMessagesOptions) {
    this.#options = options
    this.#order = new SessionOrder(options.guard)
    this.#mostAtOnce = options.checkedAtOnce ?? CHECKED_AT_ONCE
  }

  receive(site: string, session: string, message: Message<SiteMessage>): void {
    this.#order.run(session, () => this.#take(site, session, message))
  }

  /** A session ends by itself: once what it sent has been checked. */
  end(session: string, then: () => void): void {
    this.#order.run(session, () => {
      then()
      return undefined
    })
  }

  /** A session has ended: what it sent and we have not checked yet counts no more. */
  forget(session: string): void {
    this.#order.forget(session)
  }

  /** Takes nothing more. */
  close(): void {
    this.#order.close()
  }

  /** While as many messages wait to be checked as should: when there are fewer. */
  get relief(): Promise<void> | undefined {
    return this.#order.relief
  }

  #take(site: string, session: string, { header, bodies }: Message<SiteMessage>): Promise<() => void> | undefined {
    const { dispatch, send, notices } = this.#options
    switch (header.type) {
      case 'PING': {
        send(session, { v: PROTOCOL_VERSION, type: 'PONG' })
        const { working, progress } = header
        dispatch({ type: 'heard', site, session, working, ...(progress ? { step: progress } : {}) })
        break
      }
      case 'RESULT':
        return this.#receiveResult(site, session, header, bodies)
      case 'ERROR':
        notices.stack(Buffer.from(bodies[0]!).toString('utf8'), site)
        dispatch({ type: 'failed', site, session, reason: `${header.phase}: ${header.message}` })
        break
      case 'BYE':
        send(session, { v: PROTOCOL_VERSION, type: 'BYE', reason: header.reason })
        dispatch({ type: 'bye', site, session, reason: header.reason })
        break
    }
    return undefined
  }

  #receiveResult(
    site: string,
    session: string,
    header: Header<'RESULT'>,
    bodies: readonly Uint8Array[],
  ): Promise<() => void> | undefined {
    try {
      if (header.purpose === 'train') return this.#receiveUpdate(site, session, header, bodies)
      this.#receiveScores(site, session, header, bodies)
    } catch (error) {
      this.#refuse(site, session, header, error)
    }
    return undefined
  }

  /** @throws what is no fault of the site's */
  #refuse(site: string, session: string, { purpose, round, base }: Header<'RESULT'>, error: unknown): void {
    if (!(error instanceof ProtocolError)) throw error
    const { notices, dispatch } = this.#options
    const reason = error.message
    notices.refused(`${site}: its result of round ${round} was refused: ${reason}`, site)
    dispatch({ type: 'refused', site, session, purpose, round, base, reason })
  }

  #receiveScores(site: string, session: string, header: Header<'RESULT'>, bodies: readonly Uint8Array[]): void {
    const { admissions, study, dispatch } = this.#options
    const { round, base, samples } = header
    const scores = readScores(EvaluationSchema, bodies[1]!, study)
    checkWeight('validation cases', samples, admissions.siteOf(site)!.description.validCases)
    checkCasesPerClass(scores.casesPerClass, samples, study)
    dispatch({ type: 'evaluation', site, session, round, base, metrics: { ...scores, site, weight: samples } })
  }

  #receiveUpdate(
    site: string,
    session: string,
    header: Header<'RESULT'>,
    bodies: readonly Uint8Array[],
  ): Promise<() => void> | undefined {
    const { layout, admissions, runId, study, offer, dispatch } = this.#options
    const context = { run: runId, admitted: admissions.siteOf(site)!, study, layout }
    const entry = decodeUpdate(header, bodies, context)
    const take = (isSigned: boolean): void => {
      checkUpdate(entry, isSigned, context)
      const { round, base, update, samples, metrics } = entry
      dispatch({ type: 'result', site, session, offer: offer(entry), round, base, update, samples, metrics })
    }
    const key = Buffer.from(entry.key, 'base64url')
    if (this.#isCheckedAtOnce()) {
      take(verifyUpdate(key, entry, entry.signature))
      return undefined
    }
    return verifyUpdateLater(key, entry, entry.signature).then((isSigned) => () => {
      try {
        take(isSigned)
      } catch (error) {
        this.#refuse(site, session, header, error)
      }
    })
  }

  #isCheckedAtOnce(): boolean {
    if (this.#order.isBusy || this.#checkedAtOnce >= this.#mostAtOnce) return false
    if (this.#checkedAtOnce === 0)
      setImmediate(() => {
        this.#checkedAtOnce = 0
      })
    this.#checkedAtOnce += 1
    return true
  }
}
