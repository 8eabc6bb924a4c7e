import type { EventSink } from '@meshfl/core'

export interface LiveViewOptions {
  /** What stands first, for example `meshfl serve`. */
  title: string
  /** For a site: where its coordinator is. */
  coordinator?: string
  stdout?: NodeJS.WriteStream
  stdin?: NodeJS.ReadStream
  color?: boolean
  /** Called once, at q or the first Ctrl-C; a second Ctrl-C sends this process a SIGINT. */
  onQuit(): void
  /** Called at p with what is wanted now; without it there is no such key. */
  onPause?(paused: boolean): void
}

export interface LiveView {
  readonly sink: EventSink
  /**
   * Asks at the foot of the screen, one question after the other. False: n or Escape; undefined: nobody answered before the signal,
   * which takes the question away, or the view's stop, or nobody can.
   */
  ask(question: string, signal: AbortSignal): Promise<boolean | undefined>
  /** Leaves the last frame on the screen and gives the terminal back. */
  stop(): Promise<void>
}
