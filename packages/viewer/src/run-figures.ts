import type { MeshflEvent } from '@meshfl/core'
import type { RoundPoint, RunFigures, SitePoint } from './page-data.js'

/** Gathers the figures of a run from its events, one after the other. A round that was done twice, after a crash, keeps its last. */
export interface RunGatherer {
  add(event: MeshflEvent): void
  /** @param now milliseconds since 1970 */
  figures(now: number): RunFigures
}

/** A run says something at least once a round; one that has been silent for as long as several, and for a minute, is not waited for. */
const SILENT_ROUNDS = 5
const SILENT_SECONDS = 60

export function createRunGatherer(): RunGatherer {
  const points = new Map<number, RoundPoint & { dice: Record<string, number | null> }>()
  const sites = new Map<string, Map<number, SitePoint>>()
  const classNames: string[] = []
  const head: Omit<RunFigures, 'round' | 'points' | 'siteCurves' | 'moreSites' | 'classNames'> = {
    ...{ command: null, engine: null, rounds: null, best: null, sites: null, secondsLeft: null },
    ...{ lastRoundAt: null, parametersSha256: null },
  }

  let [lastEventAt, roundSeconds] = [Number.NaN, 0]

  const isSilent = (now: number): boolean =>
    now - lastEventAt > 1000 * Math.max(SILENT_SECONDS, SILENT_ROUNDS * roundSeconds)

  const sitePoint = (site: string, round: number, measured: Partial<SitePoint>): void => {
    const curve = sites.get(site) ?? new Map<number, SitePoint>()
    sites.set(site, curve)
    const before = curve.get(round) ?? { round, trainLoss: null, validForegroundDice: null }
    curve.set(round, { ...before, ...measured })
  }

  return {
    add(event) {
      if ('time' in event) lastEventAt = Date.parse(String(event.time))
      switch (event.type) {
        case 'run-started':
          head.command = event.command
          head.engine = [event.engine, event.device].filter((one) => one !== '').join(', ')
          head.rounds = event.rounds
          head.sites = event.sites
          head.secondsLeft = null
          return
        case 'site-trained':
          return sitePoint(event.site, event.round, { trainLoss: event.loss })
        case 'site-evaluated':
          return sitePoint(event.site, event.round, {
            validForegroundDice: event.cases > 0 ? event.dice.foregroundDice : null,
          })
        case 'best':
          head.best = { round: event.round, foregroundDice: event.foregroundDice }
          return
        case 'round-finished': {
          head.rounds = event.rounds
          head.secondsLeft = event.secondsLeft
          head.lastRoundAt = event.time
          roundSeconds = event.seconds
          head.parametersSha256 = event.parametersSha256
          const dice = event.validDice?.perClass ?? {}
          for (const name of Object.keys(dice)) if (!classNames.includes(name)) classNames.push(name)
          points.set(event.round, {
            round: event.round,
            trainLoss: event.trainLoss,
            validLoss: event.validLoss,
            trainForegroundDice: event.trainDice?.foregroundDice ?? null,
            validForegroundDice: event.validDice?.foregroundDice ?? null,
            validDice: [],
            dice,
          })
          return
        }
        default:
          return
      }
    },
    figures(now) {
      const inOrder = [...points.values()].sort((a, b) => a.round - b.round)
      return {
        ...head,
        secondsLeft: isSilent(now) ? null : head.secondsLeft,
        round: inOrder.at(-1)?.round ?? 0,
        classNames: [...classNames],
        points: inOrder.map(({ dice, ...point }) => ({
          ...point,
          validDice: classNames.map((name) => dice[name] ?? null),
        })),
        ...siteCurves(sites),
      }
    },
  }
}

const MOST_SITES = 8

function siteCurves(sites: ReadonlyMap<string, ReadonlyMap<number, SitePoint>>) {
  // A run on one machine has the curves of its only site already.
  const names = sites.size < 2 ? [] : [...sites.keys()].sort()
  const shown = names.slice(0, MOST_SITES)
  return {
    siteCurves: shown.map((site) => ({
      site,
      points: [...sites.get(site)!.values()].sort((a, b) => a.round - b.round),
    })),
    moreSites: names.length - shown.length,
  }
}
