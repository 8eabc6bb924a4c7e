import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { CoordinatorJob, FromProcess, Said, SitesJob } from './process-messages.js'

/** A process that is, or is about to be, a coordinator or some sites. */
export class FederationProcess {
  readonly child: ChildProcess
  readonly said: FromProcess[] = []
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  onSaid: ((message: FromProcess) => void) | undefined
  readonly #waiting = new Set<() => void>()
  #hasEnded = false

  /**
   * Starts it; it loads its code while nobody waits.
   * @param entry the compiled federation-process.js
   */
  constructor(entry = fileURLToPath(new URL('./federation-process.js', import.meta.url))) {
    this.child = fork(entry, [], { execArgv: ['--expose-gc'], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    this.child.on('message', (message: FromProcess) => {
      this.said.push(message)
      this.onSaid?.(message)
      this.#wake()
    })
    this.ended = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => {
        this.#hasEnded = true
        resolve({ code, signal })
        this.#wake()
      })
    })
  }

  /** Tells it what to be. */
  begin(job: CoordinatorJob | SitesJob): void {
    this.child.send(job, () => undefined) // one that was killed meanwhile has its end to say so
  }

  stop(): void {
    if (this.child.connected) this.child.send({ type: 'stop' }, () => undefined)
  }

  kill(): void {
    this.child.kill('SIGKILL')
  }

  async memory(): Promise<Said<'memory'>['bytes']> {
    const before = this.said.length
    this.child.send({ type: 'memory' })
    const { bytes } = await this.waitFor('memory', () => true, before)
    return bytes
  }

  /** The first thing said from `from` on, past or to come, that matches. @throws Error when the process ends before */
  async waitFor<T extends FromProcess['type']>(
    type: T,
    matches: (message: Said<T>) => boolean = () => true,
    from = 0,
  ): Promise<Said<T>> {
    for (let next = from; ; ) {
      for (; next < this.said.length; next++) {
        const message = this.said[next]!
        if (message.type === type && matches(message as Said<T>)) return message as Said<T>
      }
      if (this.#hasEnded) throw new Error(`the process ended before it said "${type}": ${this.#lastWords()}`)
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }

  #lastWords(): string {
    const failed = this.said.find((message) => message.type === 'failed')
    return failed?.type === 'failed'
      ? failed.message
      : `it was ended by ${this.child.signalCode ?? this.child.exitCode}`
  }
}
