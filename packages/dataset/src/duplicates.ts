import { MeshflError } from '@meshfl/core'
import type { PreparedCase } from './build-manifest.js'
import type { Finding } from './manifest.js'

/**
 * Looks for cases whose conformed images are the same voxel for voxel. Within one subject that is a finding; under two names
 * it would put one brain into training and test, or into two sites.
 * @throws MeshflError `DATASET_DUPLICATE`
 */
export function checkDuplicates(prepared: readonly PreparedCase[]): Finding[] {
  const byHash = new Map<string, PreparedCase[]>()
  for (const item of prepared) {
    const { imageSha256 } = item.record
    byHash.set(imageSha256, [...(byHash.get(imageSha256) ?? []), item])
  }
  const findings: Finding[] = []
  const leaks: string[][] = []
  for (const items of byHash.values()) {
    if (items.length < 2) continue
    const subjects = [...new Set(items.map(({ found }) => found.subject))]
    if (subjects.length > 1) {
      leaks.push(subjects)
      continue
    }
    findings.push({
      level: 'warning',
      code: 'DUPLICATE_WITHIN_SUBJECT',
      message: `${items.map(({ record }) => record.id).join(' and ')} are the same volume`,
      subject: subjects[0]!,
    })
  }
  if (leaks.length === 0) return findings
  const shown = leaks.slice(0, 5).map((subjects) => subjects.join(' = '))
  throw new MeshflError(
    'DATASET_DUPLICATE',
    `the same volume under several names: ${shown.join('; ')}${leaks.length > 5 ? `; and ${leaks.length - 5} more` : ''}`,
    {
      hint: 'keep one of each: a volume that is in two splits or sites makes every score too good',
      data: { subjects: leaks },
    },
  )
}
