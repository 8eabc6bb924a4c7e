import type { MeshflEvent, SiteState } from '@meshfl/core'
import { formatDuration } from '@meshfl/core'
import { describeMemory } from './describe-memory.js'
import { formatFigure, formatSpan } from './figures.js'
import { cleanText } from './text.js'

export type Level = 'debug' | 'info' | 'warn' | 'error'
export interface Sentence {
  readonly level: Level
  readonly text: string
}

const TROUBLE: Partial<Record<SiteState, Level>> = { suspect: 'warn', lost: 'warn', failed: 'error' }
/** States that come and go every round: the table shows them, a log need not. */
const ROUTINE: readonly SiteState[] = ['training', 'evaluating', 'waiting']

/**
 * An event as one plain line, or null where nobody needs to read it: what comes every step, and what another line says.
 * @param rounds of the run, where known; 0 otherwise
 */
export function describeEvent(event: MeshflEvent, rounds: number): Sentence | null {
  switch (event.type) {
    case 'run-started': {
      const sites = event.sites === 1 ? '' : `, ${event.sites} sites`
      const resumed = event.resumedAtRound === undefined ? '' : `, resumes at round ${event.resumedAtRound}`
      const engine = [event.engine, event.device].filter((part) => part !== '').join(', ')
      return info(
        `${event.command} ${event.run}: ${plural(event.rounds, 'round')}${sites}${resumed}; ${engine}; ${event.path}`,
      )
    }
    case 'memory-planned':
      return info(describeMemory(event))
    case 'site-state': {
      if (ROUTINE.includes(event.state)) return null
      const reason = event.reason ? `: ${event.reason}` : ''
      return sentence(TROUBLE[event.state] ?? 'info', `${event.site} ${stateVerb(event.state)}${reason}`)
    }
    case 'site-trained':
      return info(
        `${roundOf(event.round, rounds)}: ${event.site} trained on ${plural(event.samples, 'volume')} in ` +
          `${formatDuration(event.seconds)}, loss ${formatFigure(event.loss, 4)}, Dice ${formatFigure(event.dice.foregroundDice, 4)}`,
      )
    case 'update-applied':
      if (event.leftOut.length === 0) return null
      return sentence(
        'warn',
        `${roundOf(event.round, rounds)}: left out ${event.leftOut.map(({ site, reason }) => `${site} (${reason})`).join(', ')}`,
      )
    case 'round-finished': {
      const valid =
        event.validDice === null && event.validLoss === null
          ? ''
          : `, valid loss ${formatFigure(event.validLoss, 4)} Dice ${formatFigure(event.validDice?.foregroundDice, 4)}`
      const left =
        event.secondsLeft === null || event.round >= event.rounds ? '' : `, ${formatSpan(event.secondsLeft)} left`
      return info(
        `${roundOf(event.round, event.rounds)} done in ${formatDuration(event.seconds)}: train loss ${formatFigure(event.trainLoss, 4)} ` +
          `Dice ${formatFigure(event.trainDice?.foregroundDice, 4)}${valid}${left}`,
      )
    }
    case 'best':
      // The header shows it, and the line of the end says it again.
      return sentence(
        'debug',
        `best so far: foreground Dice ${formatFigure(event.foregroundDice, 4)} at round ${event.round}`,
      )
    case 'cross-site':
      return sentence('info', `every site's model is scored at every site: ${plural(event.scores.length, 'figure')}`)
    case 'log':
      return sentence(event.level, event.site === undefined ? event.message : `${event.site}: ${event.message}`)
    case 'dataset': {
      const { train, valid, test } = event.splits
      const sites = event.sites > 1 ? ` for ${event.sites} sites` : ''
      const leftOut = event.leftOut?.length ? `, ${event.leftOut.length} left out` : ''
      return info(
        `${plural(event.cases, 'case')}${sites}: ${train} train, ${valid} valid, ${test} test${leftOut}; ${event.path}`,
      )
    }
    case 'done': {
      const best = event.best
        ? `, best foreground Dice ${formatFigure(event.best.foregroundDice, 4)} at round ${event.best.round}`
        : ''
      return info(`done: ${plural(event.rounds, 'round')}${best}; ${event.path}`)
    }
    case 'report':
      return sentence(
        event.gate === 'failed' ? 'error' : 'info',
        `${plural(event.cases, 'case')}: foreground Dice ${formatFigure(event.foregroundDice, 4)}` +
          `${event.gate === 'none' ? '' : `, gate ${event.gate}`}; ${event.path}`,
      )
    case 'prediction': {
      const volumes = Object.entries(event.volumesMl).map(([name, ml]) => `${name} ${formatFigure(ml, 1)} ml`)
      return info(`${event.label}${volumes.length > 0 ? `: ${volumes.join(', ')}` : ''}`)
    }
    case 'engine':
      if (event.available) return info(`engine ${event.name}: ${event.device}`)
      return info(
        `engine ${event.name} is not here${event.reason ? `: ${event.reason}` : ''}${event.hint ? ` (${event.hint})` : ''}`,
      )
    case 'error':
      return sentence('error', `${event.code}: ${event.message}${event.hint ? ` (${event.hint})` : ''}`)
    case 'round-started':
    case 'step':
    case 'site-evaluated':
    case 'traffic':
    case 'progress':
    case 'invite':
    case 'sites':
    case 'audit':
    case 'canary':
    case 'study':
    case 'brains':
    case 'experiment':
      return null
    default:
      return null // an event of a newer version
  }
}

/** The same for the log of the live view, which is narrow, and whose table already shows every site's round. */
export function describeForLog(event: MeshflEvent, rounds: number): Sentence | null {
  if (event.type === 'round-finished') {
    const pair = (train: number | null | undefined, valid: number | null | undefined) =>
      event.validDice === null && event.validLoss === null
        ? formatFigure(train, 3)
        : `${formatFigure(train, 3)} valid ${formatFigure(valid, 3)}`
    const dice = pair(event.trainDice?.foregroundDice, event.validDice?.foregroundDice)
    const loss = pair(event.trainLoss, event.validLoss)
    return info(`${roundOf(event.round, event.rounds)}, ${formatSpan(event.seconds)}: Dice ${dice}, loss ${loss}`)
  }
  if (event.type === 'site-trained' || event.type === 'run-started') return null
  return describeEvent(event, rounds)
}

function stateVerb(state: SiteState): string {
  switch (state) {
    case 'joining':
      return 'asks to join'
    case 'online':
      return 'is here'
    case 'suspect':
      return 'has gone silent'
    case 'lost':
      return 'is lost'
    case 'left':
      return 'has left'
    case 'done':
      return 'is done'
    case 'failed':
      return 'has failed'
    default:
      return state
  }
}

function info(text: string): Sentence {
  return sentence('info', text)
}

function sentence(level: Level, text: string): Sentence {
  return { level, text: cleanText(text) }
}

function roundOf(round: number, rounds: number): string {
  return rounds > 0 ? `round ${round}/${rounds}` : `round ${round}`
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`
}
