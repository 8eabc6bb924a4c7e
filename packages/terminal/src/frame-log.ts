import { formatClock } from './figures.js'
import type { FrameOptions } from './frame.js'
import type { Tone } from './palette.js'
import { cutText, displayWidth } from './text.js'
import type { LogLine, ViewState } from './view-state.js'

const TONES: Record<LogLine['level'], Tone | null> = { debug: 'dim', info: null, warn: 'yellow', error: 'red' }
const CLOCK = 8
const CLOCK_FROM_COLUMNS = 50

/** The last lines of the log in at most `room` lines, the newest at the bottom. */
export function drawLog(state: ViewState, options: FrameOptions, room: number): string[] {
  if (room <= 0) return []
  const { paint, columns } = options
  return state.log.slice(-room).map(({ timeMs, level, text }) => {
    const clock = columns >= CLOCK_FROM_COLUMNS ? `${formatClock(timeMs)}  ` : ''
    const word = level === 'warn' ? 'warning: ' : level === 'error' ? 'error: ' : ''
    const space = columns - (clock === '' ? 0 : CLOCK + 2) - displayWidth(word)
    return paint('dim', clock) + paint(TONES[level], cutText(word, columns) + cutText(text, space))
  })
}
