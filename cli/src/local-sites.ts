import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { explainWriteError, MeshflError, makeFolder } from '@meshfl/core'
import { type EngineOptions, engineArguments } from './engine-options.js'
import { lockWhenFree } from './lock-when-free.js'
import { ProcessLog } from './process-log.js'
import { type TrainingOptions, trainingArguments } from './training-options.js'
import { ENDS_WITH_PARENT } from './when-to-stop.js'

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
 * site prints goes to join.log in its state folder. A process that was killed is started again and goes on. Where this process
 * is killed, those of the sites end after the step in progress; whoever goes on with the run waits for that.
 */
export function startLocalSites(options: LocalSitesOptions): LocalSites {
  let fail: (error: unknown) => void = () => undefined
  const failed = new Promise<never>((_, reject) => {
    fail = reject
  })
  failed.catch(() => undefined)
  const run = async (site: LocalSite): Promise<void> => {
    try {
      await keepRunning(site, options)
    } catch (error) {
      if (!options.signal.aborted) fail(error)
    }
  }
  return { failed, ended: Promise.all(options.sites.map(run)).then(() => undefined) }
}

async function keepRunning(site: LocalSite, options: LocalSitesOptions): Promise<void> {
  const onWait = (message: string): void => options.onWarning(site.name, message)
  for (let restarts = 0; ; restarts++) {
    const free = await lockWhenFree(site.state, { signal: options.signal, onWait })
    free.release() // the site takes it itself
    const { code, signal, error } = await runSite(site, options)
    if (code === 0 || options.signal.aborted) return
    // One that a killed simulation had only just started can lock its folder after we looked, before it sees that it is alone.
    const mayGoOn = signal !== null || error?.code === 'RUN_LOCKED'
    if (!mayGoOn || restarts >= MAX_RESTARTS) {
      throw new MeshflError(
        error?.code ?? 'SITE_FAILED',
        `${site.name}: ${error?.message ?? `ended with ${signal ?? `exit code ${code}`}`}`,
        { hint: error?.hint ?? `read ${join(site.state, 'join.log')}` },
      )
    }
    if (signal !== null) options.onWarning(site.name, `was ended by ${signal}; started again`)
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
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, [ENDS_WITH_PARENT]: '1' },
    // A process group of its own: Ctrl-C reaches the coordinator first, which then ends its sites.
    detached: process.platform !== 'win32',
  })
  // What cannot be started has no streams, and says so in a moment.
  const refused = new Promise<never>((_, reject) => {
    child.once('error', (cause) => reject(explainWriteError(cause, site.state)))
  })
  const stop = (): void => void child.kill('SIGTERM')
  options.signal.addEventListener('abort', stop, { once: true })
  process.once('exit', stop)
  let error: SiteEnd['error']
  if (child.stdout) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      log.write(`${line}\n`)
      if (line.startsWith('{"type":"error"')) error = JSON.parse(line)
    })
  }
  child.stderr?.setEncoding('utf8').on('data', (text: string) => log.write(text))
  const ended = new Promise<SiteEnd>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal, error }))
  })
  return Promise.race([ended, refused]).finally(() => {
    options.signal.removeEventListener('abort', stop)
    process.off('exit', stop)
  })
}
