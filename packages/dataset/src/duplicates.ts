import { MeshflError } from '@meshfl/core'
import type { PreparedCase } from './build-manifest.js'
import type { Finding } from './manifest.js'
import { scalarProduct, standardized } from './thumbnail.js'

/**
 * Correlation of two thumbnails from which on they show one scan. On 24 heads of one scanner at 2 mm the most similar two
 * subjects reach 0.979; a scan and its copy with 5 % noise, another gamma (0.8, 1.25), a shift by half a voxel, 2 degrees of
 * rotation or smoothing reach 0.997 or more.
 */
const SAME_SCAN = 0.995

/**
 * Looks for cases whose images are the same, voxel for voxel or nearly. Within one subject that is a finding; under two names
 * it would put one brain into training and test, or into two sites.
 * @throws MeshflError `DATASET_DUPLICATE`
 */
export function checkDuplicates(prepared: readonly PreparedCase[]): Finding[] {
  const thumbnails = prepared.map(({ record }) => standardized(Buffer.from(record.thumbnail, 'base64')))
  const findings: Finding[] = []
  const leaks: { cases: [string, string]; correlation: number }[] = []
  for (const [i, a] of prepared.entries()) {
    for (let j = 0; j < i; j++) {
      const b = prepared[j]!
      const same = a.record.imageSha256 === b.record.imageSha256
      if (a.found.subject === b.found.subject) {
        if (!same) continue // a subject's sessions may well look alike
        findings.push({
          level: 'warning',
          code: 'DUPLICATE_WITHIN_SUBJECT',
          message: `${b.record.id} and ${a.record.id} are the same volume`,
          subject: a.found.subject,
        })
        continue
      }
      const comparable = a.record.shape.join() === b.record.shape.join()
      const correlation = same ? 1 : comparable ? scalarProduct(thumbnails[i]!, thumbnails[j]!) : 0
      if (same || correlation >= SAME_SCAN) leaks.push({ cases: [b.record.id, a.record.id], correlation })
    }
  }
  if (leaks.length === 0) return findings
  const shown = leaks.slice(0, 5).map(({ cases: [a, b], correlation }) => {
    return correlation === 1 ? `${a} = ${b}` : `${a} ~ ${b} (correlation ${correlation.toFixed(4)})`
  })
  const more = leaks.length > 5 ? `; and ${leaks.length - 5} more pairs` : ''
  throw new MeshflError('DATASET_DUPLICATE', `the same scan under several names: ${shown.join('; ')}${more}`, {
    hint: 'keep one of each, or give both the same subject: a scan that is in two splits or sites makes every score too good',
    data: { pairs: leaks },
  })
}
