import type { SiteState } from '@meshfl/core'
import type { CoordinatorEffect, CoordinatorState, SiteRecord, Told } from './coordinator-state.js'

/** Letters of the reason of a site's state: a site may give one, and all of it is in the log. */
const MOST_REASON = 200

/** A state that may be changed where it is: by whoever holds it alone. */
export type Writable = {
  -readonly [K in keyof CoordinatorState]: CoordinatorState[K] extends ReadonlyMap<infer A, infer B>
    ? Map<A, B>
    : CoordinatorState[K] extends ReadonlySet<infer A>
      ? Set<A>
      : CoordinatorState[K]
}

export function writableCopy(state: CoordinatorState): Writable {
  return {
    ...state,
    sites: new Map(state.sites),
    members: new Set(state.members),
    results: new Map(state.results),
    evaluations: new Map(state.evaluations),
    refused: new Set(state.refused),
    shares: new Map(state.shares),
    updates: new Map(state.updates),
  }
}

/** A coordinator's state while events go through it, and what follows from them. */
export class Draft {
  effects: CoordinatorEffect[] = []

  constructor(
    readonly state: Writable,
    public at: number,
  ) {}

  /** Nothing that came in with this event need be written to the journal. */
  dropJournal(): void {
    this.effects = this.effects.filter(({ type }) => type !== 'journal')
  }

  enter(phase: CoordinatorState['phase']): void {
    this.state.phase = phase
    this.state.phaseSince = this.at
    this.state.complaint = ''
    this.state.refused.clear()
  }

  change(site: string, change: Partial<SiteRecord>): void {
    const record = this.state.sites.get(site)
    if (record) this.state.sites.set(site, { ...record, ...change })
  }

  reach(site: string, reach: SiteRecord['reach'], reason?: string): void {
    this.change(site, { reach })
    this.show(site, reach, reason)
  }

  show(site: string, shown: SiteState, reason?: string): void {
    if (this.state.sites.get(site)?.shown === shown) return
    this.change(site, { shown })
    this.tell({ type: 'site-state', site, state: shown, ...(reason === undefined ? {} : { reason: cut(reason) }) })
  }

  /** Says why nothing goes on, once: a warning where something did before. */
  complain(words: string): void {
    if (this.state.complaint === words) return
    this.state.complaint = words
    this.log(this.state.isRunning ? 'warn' : 'info', words)
  }

  log(level: 'info' | 'warn' | 'error', message: string, site?: string): void {
    this.tell({ type: 'log', level, message, ...(site === undefined ? {} : { site }) })
  }

  tell(event: Told): void {
    this.effects.push({ type: 'tell', event })
  }
}

function cut(words: string): string {
  if (words.length <= MOST_REASON) return words
  const letters = [...words] // half of a pair of UTF-16 is no letter
  return letters.length <= MOST_REASON ? words : `${letters.slice(0, MOST_REASON - 1).join('')}…`
}
