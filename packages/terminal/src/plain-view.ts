import type { EventSink, MeshflEvent } from '@meshfl/core'
import { describeEvent, type Level } from './describe-event.js'
import { formatClock } from './figures.js'
import { INVITES_HEADING, joinCommand } from './join-command.js'
import { createPaint, type Tone, wantsColor } from './palette.js'
import { createProgressBar } from './progress-bar.js'

export interface PlainViewOptions {
  stream: NodeJS.WritableStream & { isTTY?: boolean; columns?: number }
  /** Only warnings, errors and invites. */
  quiet?: boolean
  color?: boolean
  /** Whether a line begins with the time; by default yes. */
  clock?: boolean
  /** For tests. */
  now?: () => number
}

export interface PlainView {
  readonly sink: EventSink
  stop(): Promise<void>
}

const TONES: Record<Level, Tone | null> = { debug: 'dim', info: null, warn: 'yellow', error: 'red' }

/**
 * Events as plain lines, one for each thing that matters: a line per site per round, a line per round, what joins and
 * what is lost. In a run of one site the round's line says it all. An invite is a line of its own, whole, as the command to
 * give to a site.
 */
export function createPlainView(options: PlainViewOptions): PlainView {
  const { stream, quiet = false, clock = true } = options
  const now = options.now ?? Date.now
  const paint = createPaint(options.color ?? wantsColor(stream))
  const bar = createProgressBar({ stream, color: options.color ?? wantsColor(stream), now })
  let rounds = 0
  let alone = false
  let invited = false

  const sink = (event: MeshflEvent) => {
    if (event.type === 'run-started' || event.type === 'round-started') rounds = event.rounds
    if (event.type === 'run-started') alone = event.command === 'train' // its round's line says it all
    if (event.type === 'progress') {
      if (!quiet) bar.update(event)
      return
    }
    if (event.type === 'invite') {
      bar.clear()
      if (!invited) stream.write(`${INVITES_HEADING}\n`)
      invited = true
      stream.write(`${joinCommand(event.invite)}\n`)
      return
    }
    if (event.type === 'site-trained' && alone) return
    const sentence = describeEvent(event, rounds)
    if (sentence === null || sentence.level === 'debug') return
    const loud = sentence.level === 'warn' || sentence.level === 'error'
    if (quiet && !loud) return
    bar.clear()
    const word = sentence.level === 'warn' ? 'warning: ' : sentence.level === 'error' ? 'error: ' : ''
    const time = clock ? `${paint('dim', formatClock(now()))}  ` : ''
    stream.write(`${time}${paint(TONES[sentence.level], word + sentence.text)}\n`)
  }
  return {
    sink,
    async stop() {
      bar.stop()
    },
  }
}
