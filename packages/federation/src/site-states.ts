import type { Told } from './coordinator-state.js'

type SiteStateEvent = Extract<Told, { type: 'site-state' }>

/** States that a site can bring about as often as it likes: by logging in and leaving. Those of its work come with rounds. */
const OF_PRESENCE = new Set<SiteStateEvent['state']>(['joining', 'online', 'suspect', 'lost', 'left', 'failed'])
const QUIET_MS = 5000
const LONGEST_MS = 600_000
/** More than a site comes and goes in that time by any accident. */
const MOST_CHANGES = 60

interface Shown {
  since: number
  windowMs: number
  changes: number
  /** Its newest state, where that was not told. */
  withheld: SiteStateEvent | undefined
}

/**
 * The sites' states as they are told: each at once, unless a site comes and goes faster than anybody reads. Then its states are
 * withheld until the time is over, and the last of them is told: what is shown is late, and right in the end. The time is
 * twice as long the next time, up to ten minutes.
 */
export class SiteStates {
  readonly #tell: (event: SiteStateEvent) => void
  readonly #shown = new Map<string, Shown>()

  constructor(tell: (event: SiteStateEvent) => void) {
    this.#tell = tell
  }

  /** @param at the time in milliseconds */
  take(event: SiteStateEvent, at: number): void {
    const { site, state } = event
    const shown = this.#of(site, at)
    if (at - shown.since >= shown.windowMs) {
      shown.windowMs = shown.changes >= MOST_CHANGES ? Math.min(2 * shown.windowMs, LONGEST_MS) : QUIET_MS
      shown.since = at
      shown.changes = 0
    }
    const isWithheld = shown.changes >= MOST_CHANGES
    shown.withheld = isWithheld ? event : undefined
    if (isWithheld) return
    if (OF_PRESENCE.has(state)) shown.changes += 1
    this.#tell(event)
  }

  /** Tells what was withheld and need not be any more. */
  settle(at: number): void {
    for (const { withheld, since, windowMs } of this.#shown.values())
      if (withheld && at - since >= windowMs) this.take(withheld, at)
  }

  /** Tells the newest states, whatever was told before: nothing follows them. */
  end(): void {
    for (const shown of this.#shown.values()) {
      if (shown.withheld) this.#tell(shown.withheld)
      shown.withheld = undefined
    }
  }

  #of(site: string, at: number): Shown {
    let shown = this.#shown.get(site)
    if (!shown) {
      shown = { since: at, windowMs: QUIET_MS, changes: 0, withheld: undefined }
      this.#shown.set(site, shown)
    }
    return shown
  }
}
