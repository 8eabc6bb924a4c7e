import type { EventOf } from '@meshfl/core'
import { drawBar } from './bar.js'
import { formatPortion } from './figures.js'
import { chooseGlyphs, createPaint, type Glyphs, type Paint, wantsColor } from './palette.js'
import { progressRate } from './progress-line.js'
import { cutText, displayWidth } from './text.js'
import { advance, type ProgressView } from './view-state.js'

export interface ProgressBarOptions {
  stream: NodeJS.WritableStream & { isTTY?: boolean; columns?: number }
  color?: boolean
  /** For tests. */
  now?: () => number
}

export interface ProgressBar {
  update(event: EventOf<'progress'>): void
  /** Takes the line away so that something else can be printed; the next update brings it back. */
  clear(): void
  /** Ends the line: what was reached stays on the screen. */
  stop(): void
}

const REDRAW_MS = 100
const PLAIN_LINE_MS = 5000
const PLAIN_LINE_PART = 0.1

/** Draws `progress` events: on a terminal one line that updates, elsewhere a line every 10 % or 5 seconds. */
export function createProgressBar(options: ProgressBarOptions): ProgressBar {
  const now = options.now ?? Date.now
  const isUpdated = options.stream.isTTY === true && process.env.TERM !== 'dumb'
  return isUpdated ? updatingLine(options, now) : plainLines(options, now)
}

function updatingLine({ stream, color }: ProgressBarOptions, now: () => number): ProgressBar {
  const paint = createPaint(color ?? wantsColor(stream))
  const glyphs = chooseGlyphs()
  let progress: ProgressView | null = null
  let shown = ''
  let drawnMs = Number.NEGATIVE_INFINITY
  const draw = (line: string) => {
    if (line === shown) return
    stream.write(`\r${line}\u001b[K`)
    shown = line
  }
  const finish = () => {
    if (shown !== '') stream.write('\n')
    shown = ''
    progress = null
  }
  return {
    update(event) {
      const before = progress
      progress = advance(before, event, now())
      if (before !== null && progress.task !== before.task) {
        draw(barLine(before, now(), stream.columns || 80, paint, glyphs))
        if (shown !== '') stream.write('\n')
        shown = ''
      }
      const complete = progress.total > 0 && progress.done >= progress.total
      if (!complete && before?.task === progress.task && now() - drawnMs < REDRAW_MS) return
      drawnMs = now()
      draw(barLine(progress, now(), stream.columns || 80, paint, glyphs))
      if (complete) finish()
    },
    clear() {
      if (shown !== '') stream.write('\r\u001b[K')
      shown = ''
      drawnMs = Number.NEGATIVE_INFINITY
    },
    stop: finish,
  }
}

function plainLines({ stream }: ProgressBarOptions, now: () => number): ProgressBar {
  let progress: ProgressView | null = null
  let saidMs = 0
  let saidPart = 0
  return {
    update(event) {
      const before = progress
      progress = advance(before, event, now())
      const part = progress.total > 0 ? progress.done / progress.total : 0
      if (before?.task !== progress.task || progress.done < before.done) {
        saidMs = now()
        saidPart = 0
      }
      const complete = part >= 1 && saidPart < 1
      if (!complete && (part >= 1 || (part - saidPart < PLAIN_LINE_PART && now() - saidMs < PLAIN_LINE_MS))) return
      saidMs = now()
      saidPart = Math.min(1, Math.floor(part / PLAIN_LINE_PART + 1e-9) * PLAIN_LINE_PART)
      const rate = progressRate(progress, now())
      const portion = formatPortion(progress.done, progress.total, progress.unit)
      stream.write(
        `${[`${progress.task}: ${portion}`, ...rate.split('  ').filter((text) => text !== '')].join(', ')}\n`,
      )
    },
    clear() {},
    stop() {
      progress = null
    },
  }
}

/** `task  ━━━━━────  12/24 volumes  3.1 volumes/s  4 s left`, in less than `columns` so that no terminal wraps it. */
function barLine(progress: ProgressView, nowMs: number, columns: number, paint: Paint, glyphs: Glyphs): string {
  const room = Math.max(1, columns - 1)
  const tail = [formatPortion(progress.done, progress.total, progress.unit), progressRate(progress, nowMs)]
    .filter((text) => text !== '')
    .join('  ')
  const task = cutText(progress.task, Math.max(8, room - displayWidth(tail) - 14))
  const width = Math.min(40, room - displayWidth(task) - displayWidth(tail) - 4)
  if (width < 4 || progress.total <= 0) return cutText(`${task}  ${tail}`, room)
  return `${task}  ${drawBar(progress.done / progress.total, width, paint, glyphs)}  ${tail}`
}
