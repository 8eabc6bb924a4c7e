import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { packageFile } from '@meshfl/core'
import { REQUEST_BYTES } from '../session/request.js'

export const NATIVE_ABI_VERSION = 2

/** `mfl_status` of meshfl.h. */
export const STATUS = {
  ok: 0,
  cancelled: 1,
  badLabel: 2,
  invalidArgument: 3,
  outOfMemory: 4,
  unsupported: 5,
  busy: 6,
  internal: 7,
} as const

/** An error that the addon throws. */
export interface NativeError extends Error {
  status: number
}

/** A session of a backend; its methods throw `NativeError`. Only `cancel` and `dispose` may be called during a run. */
export interface NativeSession {
  plan(request: Uint32Array): number
  prepare(request: Uint32Array): void
  /** A key other than 0 stands for the same values of the region as long as the session lives. */
  write(region: number, values: ArrayBufferView, key?: number): void
  run(done: (status: number, message: string) => void): void
  read(region: number, to: ArrayBufferView): void
  cancel(): void
  dispose(): void
}

/** A device with memory of its own. */
interface NativeDevice {
  name: string
  instructionSet: string
  memoryBytes: number
  freeBytes: number
}

/** `cuda-shim` is the CUDA backend compiled for the CPU: for tests, in an addon of its own. */
export type NativeBackend = 'cpu' | 'cuda' | 'cuda-shim'

/** What the addon exports: the C ABI of native/include/meshfl.h, translated. */
export interface Addon {
  readonly abiVersion: number
  readonly requestBytes: number
  /** Those that compute in one of `PRECISIONS`, best first; none for a backend that was not built. */
  instructionSets(backend: string, precision: number): string[]
  /** Undefined for a backend without devices of its own, or that was not built. Throws `NativeError` when no device can be used. */
  devices(backend: string): NativeDevice[] | undefined
  /** Floating-point operations a second that the threads can do in multiply-adds. Blocks for a quarter of a second. */
  measurePeak(backend: string, instructionSet: string, threads: number): number
  Session: new (backend: string, instructionSet: string | null, threads: number, device?: number) => NativeSession
}

/** Why something cannot be had, and what would mend that. */
interface Refusal {
  reason: string
  hint: string
}

/** The addon, or why it cannot be had. */
export type LoadedAddon = { addon: Addon } | Refusal

const TOOLS: Record<NativeBackend, string> = {
  cpu: 'cmake, a C++ compiler and cargo',
  cuda: "cmake, a C++ compiler and nvcc of NVIDIA's CUDA toolkit",
  'cuda-shim': 'cmake and a C++ compiler',
}
const buildHint = (backend: NativeBackend): string =>
  `build it with \`npm run build:native\`, which needs ${TOOLS[backend]}`

/** MESHFL_NATIVE names another file. */
const addonFile = (): string =>
  process.env.MESHFL_NATIVE ??
  fileURLToPath(packageFile('@meshfl/engine', '../../native/build/Release/meshfl.node', import.meta.url))

/**
 * Loads the addon and runs the smallest model there is on a backend: what a broken build would die of. Prints the error with a status
 * that the backend gives.
 */
const TRIAL = `
const [file, backend] = process.argv.slice(1)
const { Session, abiVersion, requestBytes, devices } = require(file)
if (abiVersion === ${NATIVE_ABI_VERSION}) {
  const refuse = (message) => console.log(JSON.stringify(message.split('\\n')))
  try {
    devices(backend)
    const session = new Session(backend, null, 1)
    const request = new Uint32Array(requestBytes / 4).fill(1)
    request[0] = 0
    request[2] = 2
    session.prepare(request)
    session.run((status, message) => { if (status !== 0) refuse(message) })
  } catch (error) {
    if (error.status === undefined) throw error
    refuse(error.message)
  }
}`

/** A driver that compiles kernels for a new GPU takes its time, once. */
const TRIAL_MILLISECONDS = 180_000

/** A terminal's Ctrl-C, and what ends a service or a job, reach all processes of a command. */
const STOPS = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** @throws DOMException `AbortError` when the trial was stopped: that says nothing of the addon */
async function tryInChild(file: string, backend: NativeBackend): Promise<Refusal | null> {
  const hint = buildHint(backend)
  try {
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', TRIAL, file, backend], {
      timeout: TRIAL_MILLISECONDS,
      // A driver needs its variables; what Node is told here is not for a trial.
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    if (stdout === '') return null
    const [reason, mend] = JSON.parse(stdout) as [string, string?]
    return { reason, hint: mend ?? hint }
  } catch (error) {
    const { signal, stderr, message, killed } = error as Error & { signal?: string; stderr?: string; killed?: boolean }
    if (signal && STOPS.includes(signal) && !killed)
      throw new DOMException(`the trial of the ${backend} engine was stopped`, 'AbortError')
    const why = killed
      ? `its trial took longer than ${TRIAL_MILLISECONDS / 1000} s`
      : signal
        ? `it ended a trial process with ${signal}`
        : (stderr?.match(/^\s*\w*Error: (.*)$/m)?.[1] ?? message)
    return { reason: `the native addon ${file} does not work: ${why}`, hint }
  }
}

async function load(backend: NativeBackend, file: string): Promise<LoadedAddon> {
  if (!existsSync(file))
    return { reason: `the native addon is not built: there is no ${file}`, hint: buildHint(backend) }
  const refusal = await tryInChild(file, backend)
  if (refusal) return refusal
  const addon = createRequire(import.meta.url)(file) as Addon
  if (addon.abiVersion !== NATIVE_ABI_VERSION || addon.requestBytes !== REQUEST_BYTES) {
    const has = (version: number, bytes: number): string => `ABI ${version} with requests of ${bytes} bytes`
    const found = has(addon.abiVersion, addon.requestBytes)
    const reason = `the native addon ${file} has ${found}, not ${has(NATIVE_ABI_VERSION, REQUEST_BYTES)}`
    return { reason, hint: 'build it again with `npm run build:native`' }
  }
  return { addon }
}

const loaded = new Map<string, Promise<LoadedAddon>>()

/**
 * Loads the addon for a backend, once a process: in a child process first, so that one that crashes cannot take this one down.
 * Rejects with an `AbortError` when someone stopped that.
 */
export function loadAddon(backend: NativeBackend, file = addonFile()): Promise<LoadedAddon> {
  const name = `${backend} ${file}`
  const known = loaded.get(name) ?? load(backend, file)
  loaded.set(name, known)
  return known
}
