import { drawBar } from './bar.js'
import { formatFigure, formatPortion, formatSpan } from './figures.js'
import type { FrameOptions } from './frame.js'
import { progressRate } from './progress-line.js'
import { cutText, displayWidth } from './text.js'
import type { ViewState } from './view-state.js'

/** Run, round and time left; engine and best Dice; the bar of the whole run, or of the task that it is busy with. */
export function drawHeader(state: ViewState, options: FrameOptions): string[] {
  const { paint, glyphs, columns, nowMs } = options
  const dot = ` ${glyphs.dot} `
  const right = [roundText(state), timeText(state, options)].filter((part) => part !== '').join(dot)
  const name = state.run === null ? '' : `${dot}${state.run}`
  const left = cutText(`${options.title}${name}`, columns - displayWidth(right) - 2)
  const titled = left.startsWith(options.title) ? paint('bold', options.title) + left.slice(options.title.length) : left
  const lines = [edges(titled, left, right, right, columns)]

  const where = options.coordinator === undefined ? [] : [`coordinator ${options.coordinator}`]
  const engine = [state.engine, state.device].filter((part) => part !== null && part !== '')
  const about = [...where, ...engine].join(dot) || 'starting'
  const best = state.best
    ? `best Dice ${formatFigure(state.best.foregroundDice, 4, glyphs.dash)} at round ${state.best.round}`
    : `${formatSpan((nowMs - state.startedMs) / 1000)} since the start`
  const aboutCut = cutText(about, columns - displayWidth(best) - 2)
  lines.push(
    edges(paint('dim', aboutCut), aboutCut, best, state.best ? paint('green', best) : paint('dim', best), columns),
  )

  lines.push(
    state.progress !== null && state.progress.done < state.progress.total
      ? taskLine(state, options)
      : runLine(state, options),
  )
  return lines.map((line) => (displayWidth(line) > columns ? cutText(line, columns) : line))
}

/** How much of the run is done, steps of the round in progress included: 0 to 1. */
function runFraction(state: ViewState): number {
  if (state.done) return 1
  if (state.rounds === 0) return 0
  const finished = state.roundFinished ? state.round : Math.max(0, state.round - 1)
  return Math.min(1, (finished + (state.roundFinished ? 0 : roundFraction(state))) / state.rounds)
}

function roundFraction(state: ViewState): number {
  const busy = state.sites.filter((site) => site.steps > 0 && site.round === state.round)
  if (busy.length === 0) return 0
  return Math.min(1, busy.reduce((sum, site) => sum + Math.min(1, site.step / site.steps), 0) / busy.length)
}

function roundText(state: ViewState): string {
  if (state.rounds === 0) return ''
  return `round ${state.round}/${state.rounds}`
}

function timeText(state: ViewState, { interaction, nowMs }: FrameOptions): string {
  if (state.done) return 'done'
  if (interaction.quitting) return interaction.final ? 'stopped' : 'stopping'
  if (interaction.paused && state.roundFinished) return 'paused'
  if (state.timeLeft !== null) {
    const left = state.timeLeft.seconds - (nowMs - state.timeLeft.atMs) / 1000
    return state.roundFinished && state.round >= state.rounds ? '' : `${formatSpan(left)} left`
  }
  // Before the first round has ended the steps so far must do; the tilde says that it is a guess.
  const fraction = runFraction(state)
  if (state.roundStartedMs === null || state.round === 0 || fraction === 0) return ''
  const before = (state.round - 1) / state.rounds
  const elapsed = (nowMs - state.roundStartedMs) / 1000
  const part = fraction - before
  if (part * state.rounds < 0.02 || elapsed < 1) return ''
  return `~${formatSpan((elapsed / part) * (1 - fraction))} left`
}

function runLine(state: ViewState, { paint, glyphs, columns }: FrameOptions): string {
  return drawBar(runFraction(state), columns, paint, glyphs)
}

function taskLine(state: ViewState, { paint, glyphs, columns, nowMs }: FrameOptions): string {
  const progress = state.progress!
  const portion = formatPortion(progress.done, progress.total, progress.unit)
  const tail = [portion, progressRate(progress, nowMs)].filter((part) => part !== '').join('  ')
  const task = cutText(progress.task, Math.max(8, columns - displayWidth(tail) - 14))
  const width = columns - displayWidth(task) - displayWidth(tail) - 4
  if (width < 4) return cutText(`${task}  ${tail}`, columns)
  return `${task}  ${drawBar(progress.done / progress.total, width, paint, glyphs)}  ${tail}`
}

function edges(left: string, leftPlain: string, rightPlain: string, right: string, columns: number): string {
  const gap = columns - displayWidth(leftPlain) - displayWidth(rightPlain)
  if (gap < 1) return displayWidth(leftPlain) > 0 ? left : cutText(rightPlain, columns)
  return left + ' '.repeat(gap) + right
}
