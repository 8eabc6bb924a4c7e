import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { explainReadError, MeshflError } from '@meshfl/core'
import { z } from 'zod'
import { CaseMetricsSchema } from './case-metrics.js'
import { EmptyConventionSchema } from './metrics/metric.js'
import { REPORT_FORMAT } from './report.js'

const dice = z.number().min(0).max(1).nullable()

/** What a comparison reads of an earlier report.json. Whatever else another version wrote there is passed over. */
export const BaselineSchema = z
  .object({
    format: z.literal(REPORT_FORMAT),
    created: z.string(),
    model: z.object({ name: z.string(), sha256: z.string() }).nullable(),
    dataset: z.object({ name: z.string(), sha256: z.string().optional() }),
    classes: z.array(z.object({ name: z.string() })).min(1),
    conventions: z.object({ empty: EmptyConventionSchema }),
    notes: z.array(z.string()).optional(),
    cases: z.array(
      z.object({
        ...CaseMetricsSchema.shape,
        foregroundDice: dice,
        perClass: z.record(z.string(), z.object({ dice, truthMl: z.number() }).catchall(z.number().nullable())),
      }),
    ),
  })
  .refine(({ cases }) => new Set(cases.map(({ subject }) => subject)).size === cases.length, 'a subject is there twice')
  .refine(
    ({ cases, classes }) => cases.every(({ perClass }) => classes.every(({ name }) => perClass[name] !== undefined)),
    'a case lacks a class',
  )
export type Baseline = z.infer<typeof BaselineSchema>

/**
 * The report.json that `--baseline` names: itself, by the folder that holds it, or by the run in whose report folder of the split it
 * lies (earlier versions had one folder for all).
 */
export async function baselineFile(path: string, split: string): Promise<string> {
  for (const folder of ['.', `report-${split}`, 'report']) {
    const candidate = join(path, folder, 'report.json')
    if ((await stat(candidate).catch(() => undefined))?.isFile()) return candidate
  }
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory()
  return isFolder ? join(path, 'report.json') : path // to say that it is not there
}

/**
 * Reads an earlier report.
 * @param file a report.json
 * @throws MeshflError `EVAL_BASELINE_MALFORMED`, and those of a read
 */
export async function readBaseline(file: string): Promise<Baseline> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw explainReadError(error, file)
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw malformed(file, error)
  }
  const parsed = BaselineSchema.safeParse(value)
  if (!parsed.success) throw malformed(file, parsed.error)
  return parsed.data
}

function malformed(file: string, cause: unknown): MeshflError {
  const why = cause instanceof z.ZodError ? `: ${cause.issues[0]?.path.join('.')} ${cause.issues[0]?.message}` : ''
  return new MeshflError('EVAL_BASELINE_MALFORMED', `${file} is no report that can be compared with${why}`, {
    hint: 'name a report.json, the folder that holds it, or a run that was scored',
    data: { file },
    cause,
  })
}
