import { join } from 'node:path'
import { decodeSafetensors, MeshflError } from '@meshfl/core'
import { COMMIT, type Commit, CommitSchema, SCORES } from './coordinator-store.js'
import { readLog } from './durable-log.js'

/**
 * The commits in a run's log, in its order, each once more when it was scored. Takes no lock: the coordinator may write the log
 * meanwhile, or may have been killed at that.
 * @returns null where there is no log, or where it is another account's
 * @throws MeshflError `COMMIT_INVALID`
 */
export async function readCommits(folder: string): Promise<Commit[] | null> {
  const path = join(folder, 'state', 'log')
  const records = await readLog(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EACCES') return null // an auditor need not be who runs the coordinator
    throw error
  })
  if (!records) return null
  try {
    return records.flatMap(({ kind, bytes }) => {
      if (kind === COMMIT) return [parse(decodeSafetensors(bytes, 'a commit').metadata.commit ?? '')]
      return kind === SCORES ? [parse(Buffer.from(bytes).toString('utf8'))] : []
    })
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

function parse(text: string): Commit {
  return CommitSchema.parse(JSON.parse(text))
}
