import { join } from 'node:path'
import { decodeSafetensors, MeshflError } from '@meshfl/core'
import { COMMIT, type Commit, CommitSchema, SCORES } from './coordinator-store.js'
import { readLog } from './durable-log.js'
import type { LogRecord } from './log-segment.js'

/** What to do where a ledger is behind and no log says whether it should be. */
export const WITHOUT_LOG =
  '(there is no state/log, or none that you may read, to say whether it was committed: audit the whole folder, or a copy that was made while no coordinator ran in it)'

export interface LoggedCommits {
  /** In the order of the log, each once more when it was scored. */
  commits: Commit[]
  /** Whether the run had ended when the log last began: whatever follows from the commits was written before that. */
  isOver: boolean
}

/**
 * The commits in a run's log. Takes no lock: the coordinator may write the log meanwhile, or may have been killed at that.
 * @returns null where there is no log, or where it is another account's
 * @throws MeshflError `COMMIT_INVALID`
 */
export async function readCommits(folder: string): Promise<LoggedCommits | null> {
  const path = join(folder, 'state', 'log')
  const log = await readLog(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EACCES') return null // an auditor need not be who runs the coordinator
    throw error
  })
  if (!log) return null
  try {
    const begun = commitsIn(log.records.slice(0, log.snapshot))
    const commits = [...begun, ...commitsIn(log.records.slice(log.snapshot))]
    return { commits, isOver: begun.some(({ final }) => final) }
  } catch (error) {
    throw new MeshflError('COMMIT_INVALID', `${path} is no log of a run: ${(error as Error).message}`, {
      hint: 'restore the run’s folder from a backup',
      data: { path },
      cause: error,
    })
  }
}

/** The lines of the ledger that a log holds, by their rounds. */
export function ledgerLines(commits: readonly Commit[]): Map<number, string> {
  return new Map(commits.flatMap(({ round, ledgerLine }) => (ledgerLine === null ? [] : [[round, ledgerLine]])))
}

function commitsIn(records: readonly LogRecord[]): Commit[] {
  return records.flatMap(({ kind, bytes }) => {
    if (kind === COMMIT) return [parse(decodeSafetensors(bytes, 'a commit').metadata.commit ?? '')]
    return kind === SCORES ? [parse(Buffer.from(bytes).toString('utf8'))] : []
  })
}

function parse(text: string): Commit {
  return CommitSchema.parse(JSON.parse(text))
}
