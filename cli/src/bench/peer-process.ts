import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** A peer in a process of its own: a JSON line asks, a JSON line answers. */
export interface PeerProcess {
  /** @throws Error with what the peer says, or that it ended */
  ask(question: Record<string, unknown>): Promise<Record<string, unknown>>
  close(): void
}

export function startPeer(command: string, args: readonly string[], signal: AbortSignal): PeerProcess {
  const child: ChildProcess = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  let errors = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-2000)
  })
  child.stdin!.on('error', () => undefined) // its end is told by 'close'
  let asker: { resolve(answer: Record<string, unknown>): void; reject(error: Error): void } | undefined
  let ended: Error | undefined
  const end = (reason: string): void => {
    const said = errors.trim().split('\n').at(-1)
    ended ??= new Error(said ? `${reason}: ${said}` : reason)
    asker?.reject(ended)
  }
  child.once('error', (error) => end(error.message))
  child.once('close', (code, killed) => end(`it ended with ${killed ?? code}`))
  createInterface({ input: child.stdout! }).on('line', (line) => {
    if (line.startsWith('{')) asker?.resolve(JSON.parse(line) as Record<string, unknown>)
  })
  const kill = (): void => void child.kill('SIGKILL')
  signal.addEventListener('abort', kill, { once: true })
  return {
    ask: (question) =>
      new Promise((resolve, reject) => {
        if (ended) return reject(ended)
        asker = { resolve, reject }
        child.stdin!.write(`${JSON.stringify(question)}\n`)
      }),
    close() {
      signal.removeEventListener('abort', kill)
      kill()
    },
  }
}
