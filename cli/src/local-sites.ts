import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { MeshflError, makeFolder } from '@meshfl/core'
import { type EngineOptions, engineArguments } from './engine-options.js'
import { ProcessLog } from './process-log.js'
import { type TrainingOptions, trainingArguments } from './training-options.js'

export interface LocalSite {
  name: string
  invite: string
  /** A file that holds the invite and that nobody else can read. */
  inviteFile: string
  dataset: string
  /** The site's state folder. */
  state: string
}

export interface LocalSitesOptions {
  sites: LocalSite[]
  engine: EngineOptions
  training: TrainingOptions
  signal: AbortSignal
  /** What whoever looks at the run should know of a site's process. */
  onWarning(site: string, message: string): void
}

export interface LocalSites {
  /** Rejects when a site fails for a reason that starting it again does not mend. */
  readonly failed: Promise<never>
  /** Resolves when every site has ended by itself. */
  readonly ended: Promise<void>
}

const MAX_RESTARTS = 5

/**
 * Runs `meshfl join` for every site in a process of its own, as the sites of a federation do on machines of their own. What a
 * site prints goes to join.log in its state folder. A process that was killed is started again and goes on.
 */
export function startLocalSites(options: LocalSitesOptions): LocalSites {
  let fail: (error: unknown) => void = () => undefined
  const failed = new Promise<never>((_, reject) => {
    fail = reject
  })
  failed.catch(() => undefined)
  const ended = Promise.all(options.sites.map((site) => keepRunning(site, options, fail))).then(() => undefined)
  return { failed, ended }
}

async function keepRunning(site: LocalSite, options: LocalSitesOptions, fail: (error: unknown) => void): Promise<void> {
  for (let restarts = 0; ; restarts++) {
    const { code, signal, error } = await runSite(site, options)
    if (code === 0 || options.signal.aborted) return
    if (signal === null || restarts >= MAX_RESTARTS) {
      fail(
        new MeshflError(
          error?.code ?? 'SITE_FAILED',
          `${site.name}: ${error?.message ?? `ended with ${signal ?? `exit code ${code}`}`}`,
          {
            hint: error?.hint ?? `read ${join(site.state, 'join.log')}`,
          },
        ),
      )
      return
    }
    options.onWarning(site.name, `was ended by ${signal}; started again`)
  }
}

interface SiteEnd {
  code: number | null
  signal: NodeJS.Signals | null
  error: { code: string; message: string; hint?: string } | undefined
}

function runSite(site: LocalSite, options: LocalSitesOptions): Promise<SiteEnd> {
  makeFolder(site.state)
  const log = new ProcessLog(join(site.state, 'join.log'), (message) =>
    options.onWarning(site.name, `${message}: what it prints is left out`),
  )
  const args = [
    'join',
    // Not the invite itself: every user of the machine can read a command line, and whoever came first would be the site.
    `@${site.inviteFile}`,
    '--data',
    site.dataset,
    '--out',
    site.state,
    '--json',
    ...engineArguments(options.engine),
    ...trainingArguments(options.training),
  ]
  const child: ChildProcess = spawn(process.execPath, [fileURLToPath(new URL('./bin.js', import.meta.url)), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // A process group of its own: Ctrl-C reaches the coordinator first, which then ends its sites.
    detached: process.platform !== 'win32',
  })
  const stop = (): void => void child.kill('SIGTERM')
  options.signal.addEventListener('abort', stop, { once: true })
  process.once('exit', stop)
  let error: SiteEnd['error']
  createInterface({ input: child.stdout! }).on('line', (line) => {
    log.write(`${line}\n`)
    if (line.startsWith('{"type":"error"')) error = JSON.parse(line)
  })
  child.stderr!.setEncoding('utf8').on('data', (text: string) => log.write(text))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      options.signal.removeEventListener('abort', stop)
      process.off('exit', stop)
      resolve({ code, signal, error })
    })
  })
}
