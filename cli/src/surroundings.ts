import { execFile } from 'node:child_process'
import { cpus, freemem, totalmem } from 'node:os'
import { promisify } from 'node:util'
import { formatBytes, memoryBytes } from '@meshfl/core'

export interface Check {
  what: string
  ok: boolean
  hint?: string
}

/** A coordinator needs a descriptor a site, three with --tunnel, and some of its own. */
const ENOUGH_FILES = 1024

/** What of this machine a run depends on: cores, memory, open files, the ZeroMQ library with CURVE. */
export async function checkSurroundings(): Promise<Check[]> {
  const checks: Check[] = [
    { what: `${cpus().length} cores (${cpus()[0]?.model.trim() ?? 'unknown'})`, ok: true },
    { what: memory(), ok: true },
  ]
  const files = await openFileLimit()
  if (files !== undefined) {
    checks.push(
      files >= ENOUGH_FILES
        ? { what: `${files} open files allowed`, ok: true }
        : {
            what: `${files} open files allowed`,
            ok: false,
            hint: `raise it with ulimit -n ${ENOUGH_FILES} before meshfl serve: one is needed a site, three with --tunnel`,
          },
    )
  }
  checks.push(await zeromq())
  return checks
}

function memory(): string {
  const [all, allowed] = [formatBytes(totalmem()), memoryBytes()]
  // What is free is the machine's: a container or job may take no more than it is allowed.
  if (allowed < totalmem()) return `memory ${formatBytes(allowed)} allowed here, of ${all}`
  return `memory ${all}, ${formatBytes(freemem())} free`
}

async function openFileLimit(): Promise<number | undefined> {
  if (process.platform === 'win32') return undefined
  // Without a shell, or when Ctrl-C ended it, nothing is said of them.
  const { stdout } = await promisify(execFile)('/bin/sh', ['-c', 'ulimit -n']).catch(() => ({ stdout: '' }))
  if (stdout === '') return undefined
  return stdout.trim() === 'unlimited' ? Number.POSITIVE_INFINITY : Number(stdout)
}

async function zeromq(): Promise<Check> {
  try {
    const { transportVersion } = await import('@meshfl/federation')
    const { version, curve } = await transportVersion()
    return curve
      ? { what: `ZeroMQ ${version} with CURVE encryption`, ok: true }
      : {
          what: `ZeroMQ ${version} without CURVE encryption`,
          ok: false,
          hint: 'reinstall meshfl: its ZeroMQ has CURVE',
        }
  } catch (error) {
    return {
      what: `ZeroMQ does not load: ${(error as Error).message}`,
      ok: false,
      hint: 'reinstall meshfl on this machine',
    }
  }
}
