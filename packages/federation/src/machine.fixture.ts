import { coordinatorStep } from './coordinator-machine.js'
import {
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorStart,
  type CoordinatorState,
  startState,
} from './coordinator-state.js'
import { DICE } from './loopback.fixture.js'

export const metrics = { loss: 1, dice: DICE, seconds: 1 }

/** A coordinator's machine before round 1, or with what it restarts from. */
export function startMachine(
  config: Partial<CoordinatorStart['config']> = {},
  saved: Partial<Omit<CoordinatorStart, 'config'>> = {},
): CoordinatorState {
  return startState({
    config: {
      rounds: 4,
      minSites: 2,
      deadlineMs: null,
      targetDice: null,
      background: 'background',
      suspectMs: 150,
      leaseMs: 600,
      resendMs: 20,
      progress: { leastMs: 1000, firstMs: 20_000 },
      ...config,
    },
    ...{ round: 0, base: 'base-0', best: null, recorded: false, final: false, trained: null },
    ...{ sites: [], results: new Map(), at: 0, haveHeard: new Set() },
    ...saved,
  })
}

/** Sends events through a machine, at time 0 where they do not say another, and gives all that followed from them. */
export function through<State, Event, Effect>(
  step: (state: State, event: Event) => { state: State; effects: readonly Effect[] },
): (state: State, ...events: Record<string, unknown>[]) => [State, Effect[]] {
  return (state, ...events) => {
    const all: Effect[] = []
    let current = state
    for (const event of events) {
      const next = step(current, { at: 0, ...event } as Event)
      current = next.state
      all.push(...next.effects)
    }
    return [current, all]
  }
}

/** Events through the coordinator's machine. */
export const run = through<CoordinatorState, CoordinatorEvent, CoordinatorEffect>(coordinatorStep)

export const joined = (name: string) => ({ type: 'joined', site: name, session: `session of ${name}`, working: null })

export const result = (name: string, round = 1) => ({
  type: 'result',
  site: name,
  session: `session of ${name}`,
  round,
  base: `base-${round - 1}`,
  update: `update of ${name}`,
  samples: 1,
  metrics,
})
