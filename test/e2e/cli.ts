import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { MeshflEvent } from '@meshfl/core'

/** The repository's folder. */
export const root = fileURLToPath(new URL('../..', import.meta.url))
/** The command line, for node. */
export const bin = join(root, 'cli/dist/bin.js')

export function temporaryFolder(name: string): string {
  return mkdtempSync(join(tmpdir(), `meshfl-${name}-`))
}

/** The real command line in a process of its own, with what it prints. */
export interface RunningCli {
  child: ChildProcess
  /** JSON lines so far, with `--json`. */
  events: MeshflEvent[]
  /** The first event, past or to come, that matches. Rejects when the process ends without one. */
  waitFor(matches: (event: MeshflEvent) => boolean): Promise<MeshflEvent>
  ended: Promise<CliResult>
}

export interface CliResult {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
  events: MeshflEvent[]
  /** The last JSON line. */
  last: MeshflEvent | undefined
}

export function startCli(
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; detached?: boolean } = {},
): RunningCli {
  const child = spawn(process.execPath, [bin, ...args], {
    cwd: options.cwd ?? root,
    env: { ...process.env, CI: '1', GITHUB_ACTIONS: '', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // Without the terminal that the tests may have.
    detached: options.detached === true,
  })
  const events: MeshflEvent[] = []
  const waiting: {
    matches: (event: MeshflEvent) => boolean
    resolve: (event: MeshflEvent) => void
    reject: (error: Error) => void
  }[] = []
  let stdout = ''
  let stderr = ''
  createInterface({ input: child.stdout! }).on('line', (line) => {
    stdout += `${line}\n`
    if (!line.startsWith('{')) return
    const event = JSON.parse(line) as MeshflEvent
    events.push(event)
    for (const waiter of waiting.filter(({ matches }) => matches(event))) {
      waiting.splice(waiting.indexOf(waiter), 1)
      waiter.resolve(event)
    }
  })
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const ended = new Promise<CliResult>((resolve) => {
    child.once('close', (code, signal) => {
      for (const { reject } of waiting.splice(0))
        reject(new Error(`meshfl ${args[0]} ended (${code ?? signal}) before the event: ${stdout}${stderr}`))
      resolve({ code, signal, stdout, stderr, events, last: events.at(-1) })
    })
  })
  const waitFor = (matches: (event: MeshflEvent) => boolean): Promise<MeshflEvent> => {
    const past = events.find(matches)
    if (past) return Promise.resolve(past)
    return new Promise((resolve, reject) => waiting.push({ matches, resolve, reject }))
  }
  return { child, events, waitFor, ended }
}

/** Runs the command line to its end. */
export function cli(
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<CliResult> {
  return startCli(args, options).ended
}
