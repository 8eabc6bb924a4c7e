import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
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
  write(region: number, values: ArrayBufferView): void
  run(done: (status: number, message: string) => void): void
  read(region: number, to: ArrayBufferView): void
  cancel(): void
  dispose(): void
}

/** What the addon exports: the C ABI of native/include/meshfl.h, translated. */
export interface Addon {
  readonly abiVersion: number
  readonly requestBytes: number
  /** Those that compute in one of `PRECISIONS`, best first; none for a backend that was not built. */
  instructionSets(backend: string, precision: number): string[]
  /** Floating-point operations a second that the threads can do in multiply-adds. Blocks for a quarter of a second. */
  measurePeak(backend: string, instructionSet: string, threads: number): number
  Session: new (backend: string, instructionSet: string | null, threads: number) => NativeSession
}

/** The addon, or why it cannot be had and what would mend that. */
export type LoadedAddon = { addon: Addon } | { reason: string; hint: string }

const BUILD_HINT = 'build it with `pnpm build:native`, which needs cmake, a C++ compiler and cargo'

/** The same from `src/native` and `dist/native`. MESHFL_NATIVE names another file. */
const addonFile = (): string =>
  process.env.MESHFL_NATIVE ?? fileURLToPath(new URL('../../../../native/build/Release/meshfl.node', import.meta.url))

/** Loads the addon and runs the smallest model there is: what a broken build would die of. */
const TRIAL = `
const { Session, abiVersion, requestBytes } = require(process.argv[1])
if (abiVersion === ${NATIVE_ABI_VERSION}) {
  const session = new Session('cpu', null, 1)
  const request = new Uint32Array(requestBytes / 4).fill(1)
  request[0] = 0
  request[2] = 2
  session.prepare(request)
  session.run((status, message) => { if (status !== 0) throw new Error(message) })
}`

async function tryInChild(file: string): Promise<string | null> {
  try {
    await promisify(execFile)(process.execPath, ['-e', TRIAL, file], {
      timeout: 30_000,
      env: { PATH: process.env.PATH },
    })
    return null
  } catch (error) {
    const { signal, stderr, message } = error as Error & { signal?: string; stderr?: string }
    if (signal) return `it ended a trial process with ${signal}`
    return stderr?.match(/^\s*\w*Error: (.*)$/m)?.[1] ?? message
  }
}

async function load(file: string): Promise<LoadedAddon> {
  if (!existsSync(file)) return { reason: `the native addon is not built: there is no ${file}`, hint: BUILD_HINT }
  const failure = await tryInChild(file)
  if (failure) return { reason: `the native addon ${file} does not work: ${failure}`, hint: BUILD_HINT }
  const addon = createRequire(import.meta.url)(file) as Addon
  if (addon.abiVersion !== NATIVE_ABI_VERSION || addon.requestBytes !== REQUEST_BYTES) {
    const has = (version: number, bytes: number): string => `ABI ${version} with requests of ${bytes} bytes`
    const found = has(addon.abiVersion, addon.requestBytes)
    const reason = `the native addon ${file} has ${found}, not ${has(NATIVE_ABI_VERSION, REQUEST_BYTES)}`
    return { reason, hint: 'build it again with `pnpm build:native`' }
  }
  return { addon }
}

const loaded = new Map<string, Promise<LoadedAddon>>()

/** Loads the addon, once a process: in a child process first, so that one that crashes cannot take this one down. */
export function loadAddon(file = addonFile()): Promise<LoadedAddon> {
  const known = loaded.get(file) ?? load(file)
  loaded.set(file, known)
  return known
}
