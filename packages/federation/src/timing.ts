import { LOCK_TOUCH_MS } from '@meshfl/core'
import { DEFAULT_HEARTBEAT } from './transport.js'

/** The clocks of the protocol, in milliseconds. Each has a default that works; tests make them shorter. */
export interface Timing {
  /** A site's sign of life, and the shortest time between two reports of progress. */
  pingMs: number
  progressMs: number
  /** Silence after which a site is suspect, and after which it is lost. */
  suspectMs: number
  leaseMs: number
  /** What was not answered is sent again after this. */
  resendMs: number
  /** Least patience with a site whose steps are known, and patience with one whose are not (see `patienceMs`). */
  stallMs: number
  firstStepMs: number
  /** How often each connection is tried: a peer that was killed is noticed by it. */
  probeMs: number
  /** How often the coordinator looks for requests of commands on its folder. */
  controlMs: number
  /** How long a site that has the end of its run waits for the answer to its goodbye. */
  goodbyeMs: number
  /** How long the coordinator leaves its socket open at the end: libzmq drops what a site has received and not read yet when its connection ends. */
  farewellMs: number
  /** See `Heartbeat`. */
  heartbeatMs: number
  heartbeatTimeoutMs: number
  /** A write for which there was no room is tried again after this. */
  writeRetryMs: number
  /** How often a folder's lock is touched (see `lockFolder`). */
  lockTouchMs: number
}

export const DEFAULT_TIMING: Timing = {
  pingMs: 5000,
  progressMs: 1000,
  suspectMs: 15_000,
  leaseMs: 60_000,
  resendMs: 2000,
  stallMs: 120_000,
  firstStepMs: 1_800_000,
  probeMs: 500,
  controlMs: 200,
  goodbyeMs: 2000,
  farewellMs: 100,
  heartbeatMs: DEFAULT_HEARTBEAT.intervalMs,
  heartbeatTimeoutMs: DEFAULT_HEARTBEAT.timeoutMs,
  writeRetryMs: 1000,
  lockTouchMs: LOCK_TOUCH_MS,
}

/** For sites that are not to be measured by their pace. */
export const UNHURRIED: Partial<Timing> = {
  stallMs: Number.POSITIVE_INFINITY,
  firstStepMs: Number.POSITIVE_INFINITY,
  // While a thousand sites log in or write their keys, the one event loop of all of them is late.
  suspectMs: 60_000,
  leaseMs: 120_000,
}

/** Where a test stops a process as a crash would: it throws there. */
export interface Internals {
  timing?: Partial<Timing>
  /** Memory that unfinished messages may take. */
  floodBytes?: number
  /** Updates of a turn whose signatures are not checked beside other work. */
  checkedAtOnce?: number
  at?(point: string): void
}
