import { appendFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { canonicalJson, explainReadError, explainWriteError, writeFileAtomic } from '@meshfl/core'
import { z } from 'zod'
import { FindingSchema } from './manifest.js'

/** What is known of a case once it is conformed: enough to publish it without computing it again. */
const CaseRecordSchema = z.strictObject({
  id: z.string(),
  /** SHA-256 of the source files' bytes. */
  sourceSha256: z.string(),
  /** SHA-256 of the conformed files' bytes. */
  imageFileSha256: z.string(),
  labelFileSha256: z.string(),
  /** SHA-256 of the conformed voxels. */
  imageSha256: z.string(),
  labelSha256: z.string(),
  shape: z.tuple([z.int(), z.int(), z.int()]),
  voxelSizeMm: z.tuple([z.number(), z.number(), z.number()]),
  orientation: z.string(),
  source: z.strictObject({
    shape: z.tuple([z.int(), z.int(), z.int()]),
    affine: z.array(z.number()).length(16),
  }),
  /** Voxels of each value of the label, up to the greatest. */
  voxels: z.array(z.int()),
  /** The image in 16 x 16 x 16 block means, base64: what near-duplicates are found by. */
  thumbnail: z.string(),
  findings: z.array(FindingSchema),
})
export type CaseRecord = z.infer<typeof CaseRecordSchema>

const HeadSchema = z.strictObject({
  format: z.literal('meshfl-split-journal/1'),
  /** Hash of all that decides what the dataset is, but the contents of the source files. */
  dataset: z.string(),
  /** Hash of what decides how one case is conformed. */
  conform: z.string(),
})
export type JournalHead = z.infer<typeof HeadSchema>

const JOURNAL_FILE = 'split.journal.jsonl'

/** How a dataset was made, a line a case: an interrupted `split` continues from it. */
export interface Journal {
  head: JournalHead
  records: CaseRecord[]
}

/** The journal of a dataset folder; null where it has none. A last line that a crash cut short is dropped. */
export async function readJournal(folder: string): Promise<Journal | null> {
  const text = await readFile(join(folder, JOURNAL_FILE), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null
    throw explainReadError(error, join(folder, JOURNAL_FILE))
  })
  if (text === null) return null
  const [first, ...lines] = text.split('\n').map(parseLine)
  const head = HeadSchema.safeParse(first)
  if (!head.success) return null
  const records: CaseRecord[] = []
  for (const line of lines) {
    const record = CaseRecordSchema.safeParse(line)
    if (record.success) records.push(record.data)
  }
  return { head: head.data, records }
}

/** Writes a whole journal; the order of its records depends on nothing but their ids. */
export async function writeJournal(folder: string, { head, records }: Journal): Promise<void> {
  const sorted = [...records].sort((a, b) => (a.id < b.id ? -1 : 1))
  const lines = [head, ...sorted].map((line) => `${canonicalJson(line)}\n`)
  await writeFileAtomic(join(folder, JOURNAL_FILE), lines.join(''))
}

/** Adds a case to the journal; its files must be in place before. */
export async function appendRecord(folder: string, record: CaseRecord): Promise<void> {
  const path = join(folder, JOURNAL_FILE)
  try {
    await appendFile(path, `${canonicalJson(record)}\n`)
  } catch (error) {
    throw explainWriteError(error, path)
  }
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return null // the line that a crash cut short
  }
}
