import { closeSync, fstatSync, openSync, readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { systemErrorName } from './file-errors.js'

/** The process that a lock file names. */
export interface LockOwner {
  pid: number
  /** When it began; null where the system does not tell. */
  started: string | null
  /** Absent in a lock of an earlier version. */
  host?: string
  /** Where its number means something: see `processSpace`. */
  space?: string | null
  /** How often its owner touches it. */
  touchMs?: number
}

/** What is seen of a lock file. Two looks differ when its owner has given a sign of life in between. */
export interface LockLook {
  text: string
  touched: bigint
}

/** This process, as a lock names it. */
export function ownProcess(): LockOwner {
  return {
    pid: process.pid,
    started: processStat(process.pid)?.[STARTED] ?? null,
    host: hostname(),
    space: processSpace(),
  }
}

/**
 * Undefined where there is no lock. The file is opened each time: a network file system then asks its server, where a plain stat is
 * answered from memory for a minute.
 */
export function lookAtLock(path: string): LockLook | undefined {
  try {
    const file = openSync(path, 'r')
    try {
      return { text: readFileSync(file, 'utf8'), touched: fstatSync(file, { bigint: true }).mtimeNs }
    } finally {
      closeSync(file)
    }
  } catch (error) {
    const name = systemErrorName(error)
    if (name === 'ENOENT' || name === 'ESTALE') return undefined
    throw error
  }
}

/** Undefined where a crash cut the lock short. */
export function lockOwner(text: string): LockOwner | undefined {
  try {
    const value = JSON.parse(text) as Partial<LockOwner> | null
    if (!Number.isInteger(value?.pid)) return undefined
    const { touchMs, ...owner } = value as LockOwner
    return { ...owner, started: owner.started ?? null, ...(Number.isFinite(touchMs) ? { touchMs: touchMs! } : {}) }
  } catch {
    return undefined
  }
}

/** Whether the owner's number can be looked up here: not that of a process of another machine or another container. */
export function isNear({ host, space }: LockOwner): boolean {
  if (host !== undefined && host !== hostname()) return false
  return space === undefined || space === processSpace()
}

/** Whether a process of this space still is the one that a lock names. */
export function isRunning({ pid, started }: LockOwner): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const stat = processStat(pid)
  if (stat !== null && /^[ZX]$/.test(stat[0] ?? '')) return false // dead, and its parent has not looked
  return started === null || started === (stat?.[STARTED] ?? null)
}

/**
 * Names this boot of this machine and this container: a process number means something in there only. A host's name does not say it:
 * containers can be given one, and machines made from one image often share theirs. Null where the system does not tell.
 */
function processSpace(): string | null {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return null
  }
}

/** Fields of a process's /proc/<pid>/stat from its state on; null where the system does not tell. */
function processStat(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return null
  }
}

/** Of these fields: when it began, in ticks since the machine did. */
const STARTED = 19
