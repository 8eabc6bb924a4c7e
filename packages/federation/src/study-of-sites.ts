import { modelMetadata, type SiteDescription, type Study, studySha256 } from '@meshfl/core'
import type { z } from 'zod'
import { DataKeysSchema } from './messages.js'

/** What a study may leave to the datasets of its sites. */
export type DataKeys = z.infer<typeof DataKeysSchema>

/**
 * The keys of a study that its sites' datasets fill in where it leaves them out: those of the site whose name comes first, so
 * that they do not depend on who joined first. (Only the shape can differ between admitted sites.)
 */
export function dataKeys(study: Study, sites: readonly SiteDescription[]): DataKeys {
  const first = [...sites].sort((a, b) => (a.site < b.site ? -1 : 1))[0]
  return DataKeysSchema.parse({
    conform: study.conform ?? first?.conform,
    voxelSizeMm: study.voxelSizeMm ?? first?.voxelSizeMm,
    labelMap: study.labelMap ?? first?.labelMap,
  })
}

/** What a model file of a run says: enough to conform a scan and to segment it. Its study is the one that was asked for. */
export function runMetadata(study: Study, keys: DataKeys, round: number): Record<string, string> {
  return { ...modelMetadata({ ...study, ...keys } as Study, round), 'meshfl.study': studySha256(study) }
}
