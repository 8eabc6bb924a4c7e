import { MeshflError } from '@meshfl/core'
import type { PreparedCase } from './build-manifest.js'
import { apartness } from './looks-apart.js'
import type { Finding } from './manifest.js'
import { scalarProduct, standardized } from './thumbnail.js'

/**
 * Correlation of two thumbnails that only a scan and its copy reach. Measured on 24 heads of one scanner, conformed to 2 mm:
 * distinct people reach 0.979 as they were scanned, and 0.9962 with their skulls off and their brains brought onto each other
 * by an affine. A copy in another datatype or at another gzip level has 1.0000, with 2 % noise 0.9999, with an offset added
 * to all but the background 0.9996.
 */
const COPY = 0.9995

/**
 * From here on two scans are worth a look. What is no longer told from another person is between the two: a copy padded by one
 * voxel (0.9994) or with another gamma (0.998). One padded by two voxels on each axis (0.994) is below both.
 */
const ALIKE = 0.995

/** Pairs that are worth a look, named at most: of scans that lie in a template's space there may be thousands. */
const MOST_NAMED = 20

interface Pair {
  cases: [string, string]
  correlation: number
}

/**
 * Looks for cases whose images are the same, voxel for voxel or nearly. Within one subject that is a finding; under two names
 * it would put one brain into training and test, or into two sites. What only looks alike is a finding of no single subject,
 * for a site is told nothing of the subjects of others.
 * @throws MeshflError `DATASET_DUPLICATE`
 */
export function checkDuplicates(prepared: readonly PreparedCase[]): Finding[] {
  const scans = prepared.map(({ record: { thumbnail, shape } }) => {
    return { shape, thumbnail: standardized(Buffer.from(thumbnail, 'base64')) }
  })
  // Of 5,000 scans there are 12 million pairs: numbers are compared instead of text, and few pairs need a whole scalar product.
  const subjects = numbered(prepared.map(({ found }) => found.subject))
  const images = numbered(prepared.map(({ record }) => record.imageSha256))
  const grids = numbered(scans.map(({ shape }) => shape.join()))
  const isApart = apartness(scans, ALIKE)
  const findings: Finding[] = []
  const copies: Pair[] = []
  const alike: Pair[] = []
  for (const [i, a] of prepared.entries()) {
    for (let j = 0; j < i; j++) {
      const same = images[i] === images[j]
      // A subject's sessions may well look alike.
      if (!same && (subjects[i] === subjects[j] || grids[i] !== grids[j] || isApart(i, j))) continue
      const b = prepared[j]!
      if (subjects[i] === subjects[j]) {
        findings.push({
          level: 'warning',
          code: 'DUPLICATE_WITHIN_SUBJECT',
          message: `${b.record.id} and ${a.record.id} are the same volume`,
          subject: a.found.subject,
        })
        continue
      }
      const correlation = same ? 1 : scalarProduct(scans[i]!.thumbnail, scans[j]!.thumbnail)
      const pair: Pair = { cases: [b.record.id, a.record.id], correlation }
      if (same || correlation >= COPY) copies.push(pair)
      else if (correlation >= ALIKE) alike.push(pair)
    }
  }
  if (copies.length > 0) throw duplicate(copies)
  return [...findings, ...findingsOf(alike)]
}

/** Equal numbers for equal texts. */
function numbered(texts: readonly string[]): Int32Array {
  const numbers = new Map(texts.map((text, i) => [text, i]))
  return Int32Array.from(texts, (text) => numbers.get(text)!)
}

function findingsOf(alike: Pair[]): Finding[] {
  const finding = (message: string): Finding => ({ level: 'warning', code: 'NEAR_DUPLICATE', message })
  const named = [...alike].sort((a, b) => b.correlation - a.correlation).slice(0, MOST_NAMED)
  const findings = named.map(({ cases: [a, b], correlation }) =>
    finding(`${a} and ${b} look alike (correlation ${correlation.toFixed(4)}): are they one person's?`),
  )
  const more = alike.length - named.length
  return more > 0 ? [...findings, finding(`${more} more pairs of scans look alike, as those do`)] : findings
}

function duplicate(copies: Pair[]): MeshflError {
  const shown = copies.slice(0, 5).map(({ cases: [a, b], correlation }) => {
    return correlation === 1 ? `${a} = ${b}` : `${a} ~ ${b} (correlation ${correlation.toFixed(4)})`
  })
  const more = copies.length > 5 ? `; and ${copies.length - 5} more pairs` : ''
  return new MeshflError('DATASET_DUPLICATE', `the same scan under several names: ${shown.join('; ')}${more}`, {
    hint: 'keep one of each, or give both the same subject: a scan that is in two splits or sites makes every score too good',
    data: { pairs: copies },
  })
}
