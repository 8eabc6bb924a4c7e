import type { MeshflEvent } from '@meshfl/core'

/** Clocks of the protocol in milliseconds; what is left out has its default. */
type Timing = Partial<Record<'heartbeatMs' | 'pingMs' | 'suspectMs' | 'leaseMs' | 'resendMs' | 'probeMs', number>>

export interface CoordinatorJob {
  type: 'coordinator'
  folder: string
  bind: string
  advertise?: string
  /** What StudySchema parses. */
  study: Record<string, unknown>
  sites: number
  timing?: Timing
  /** Types of events to tell of. */
  tell: MeshflEvent['type'][]
}

export interface SitesJob {
  type: 'sites'
  sites: { site: string; invite: string; folder: string }[]
  /** One log of the last rounds of all of them. Absent: each has its own. */
  rounds?: string
  timing?: Timing
  /** How long training and scoring take; absent: no time. */
  delayMs?: number
  /** Tell how long each PING waits for its PONG. */
  timesPings?: boolean
  tell: MeshflEvent['type'][]
}

export type ToProcess = CoordinatorJob | SitesJob | { type: 'stop' } | { type: 'memory' }

export type FromProcess =
  | { type: 'loaded' }
  | { type: 'started'; endpoint: string; resumedAtRound: number; invites: string[] }
  /** `at`: milliseconds since 1970, with fractions, comparable between processes. */
  | { type: 'event'; at: number; event: MeshflEvent }
  | { type: 'pong'; ms: number }
  | { type: 'memory'; bytes: { heap: number; resident: number } }
  | { type: 'finished'; rounds: number; parametersSha256: string }
  | { type: 'failed'; code: string; message: string }

export type Said<T extends FromProcess['type']> = Extract<FromProcess, { type: T }>
