import { drawCurves } from './frame-curves.js'
import { drawFoot, drawHelp } from './frame-foot.js'
import { drawHeader } from './frame-header.js'
import { drawLog } from './frame-log.js'
import { drawSites, waitingLine } from './frame-sites.js'
import type { Glyphs, Paint } from './palette.js'
import type { ViewState } from './view-state.js'

/** What the person at the keyboard has asked for: not part of the run. */
export interface Interaction {
  readonly panel: 'run' | 'log' | 'help'
  /** Whether keys are read at all: standard input is a terminal. */
  readonly keys: boolean
  readonly canPause: boolean
  readonly paused: boolean
  readonly quitting: boolean
  /** Answered with y or n. */
  readonly question: string | null
  /** The last frame, which stays on the screen when the program has ended: no keys. */
  readonly final: boolean
}

export interface FrameOptions {
  /** What stands first, for example `meshfl serve`. */
  readonly title: string
  /** For a site: where its coordinator is. */
  readonly coordinator?: string
  readonly columns: number
  /** Of the terminal; a frame has at least one line less, for the cursor. */
  readonly rows: number
  readonly nowMs: number
  readonly paint: Paint
  readonly glyphs: Glyphs
  readonly interaction: Interaction
}

/** The parts of a frame, from top to bottom, each in whole lines that are no wider than the terminal. */
export interface Frame {
  readonly header: readonly string[]
  readonly sites: readonly string[]
  readonly curves: readonly string[]
  readonly log: readonly string[]
  readonly foot: readonly string[]
}

/**
 * Lays the view out for a size of terminal. Never taller than rows - 1 and never wider than columns: what does not fit
 * is left out in this order: air between the parts, old log lines, the taller curves, sites (with a line that counts
 * them), the curves.
 */
export function drawFrame(state: ViewState, options: FrameOptions): Frame {
  const height = Math.max(1, options.rows - 1)
  const foot = drawFoot(options, Math.max(1, Math.min(3, height - 1)))
  const header = drawHeader(state, options).slice(0, Math.max(0, height - foot.length))
  let room = height - header.length - foot.length
  const empty: readonly string[] = []
  const { panel, final } = options.interaction
  if (panel === 'help') return { header, sites: empty, curves: empty, log: spaced(drawHelp(options), room), foot }
  if (panel === 'log') {
    const log = drawLog(state, options, Math.max(0, room - 1))
    return { header, sites: empty, curves: empty, log: spaced(log, room), foot }
  }

  const waiting = waitingLine(state, options)
  const wanted = state.sites.length + (state.sites.length > 0 ? 1 : 0) + (waiting === null ? 0 : 1)
  const curveLines = 3
  const hasCurves = state.history.length > 0
  // A screen with room to spare gets air; a log of three lines is worth more than air.
  const air = room >= wanted + (hasCurves ? curveLines : 0) + 3 + 3 ? 1 : 0
  const curveRoom = hasCurves && room - curveLines - air >= Math.min(wanted, 3) + 1 ? curveLines + air : 0
  const sites = spaced(drawSites(state, options, room - air - curveRoom), room - curveRoom, air)
  room -= sites.length
  const spare = room - (curveLines + air) - (4 + air)
  const curveHeight = Math.max(1, Math.min(3, 1 + Math.floor(spare / 2 / 2)))
  const curves = curveRoom > 0 ? spaced(drawCurves(state, options, curveHeight), room, air) : empty
  room -= curves.length
  const log =
    room > air && !(final && state.log.length === 0)
      ? spaced(drawLog(state, options, room - 2 * air), room, air)
      : empty
  return { header, sites, curves, log, foot: room - log.length > 0 && air > 0 && !final ? ['', ...foot] : foot }
}

/** A frame as lines. */
export function frameLines(frame: Frame): string[] {
  return [...frame.header, ...frame.sites, ...frame.curves, ...frame.log, ...frame.foot]
}

function spaced(lines: readonly string[], room: number, air = 1): readonly string[] {
  if (lines.length === 0 || room <= 0) return []
  return [...Array<string>(air).fill(''), ...lines].slice(0, room)
}
