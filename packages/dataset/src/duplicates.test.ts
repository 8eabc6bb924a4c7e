import { createRandom, type MeshflError } from '@meshfl/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PreparedCase } from './build-manifest.js'
import { checkDuplicates } from './duplicates.js'
import { apartness } from './looks-apart.js'
import { scalarProduct, standardized, thumbnailShape } from './thumbnail.js'

type Shape = [number, number, number]
const SHAPES: Shape[] = [
  [16, 16, 16],
  [24, 20, 18],
  [5, 16, 7],
  [3, 2, 1],
]

interface Scan {
  subject: string
  image: string
  shape: Shape
  thumbnail: Uint8Array
}

/** Scans of one head and noise of several sizes, so that pairs lie on all sides of both bounds; constant ones and copies among them. */
function someScans(seed: number, count: number): Scan[] {
  const random = createRandom(seed, 'duplicates')
  const heads = SHAPES.map((shape) =>
    Float64Array.from({ length: thumbnailShape(shape).reduce((a, b) => a * b) }, () => random.integer(256)),
  )
  const choose = <T>(from: readonly T[]): T => from[random.integer(from.length)]!
  return Array.from({ length: count }, (_, i) => {
    const kind = random.integer(SHAPES.length)
    const noise = choose([0, 1, 2, 4, 6, 8, 60])
    const thumbnail = Uint8Array.from(heads[kind]!, (value) =>
      Math.max(0, Math.min(255, Math.round(value + noise * random.normal()))),
    )
    if (random.integer(12) === 0) thumbnail.fill(7)
    const image = random.integer(6) === 0 ? 'a copy' : `image ${i}`
    return { subject: `sub-${random.integer(count)}`, image, shape: SHAPES[kind]!, thumbnail }
  })
}

const preparedOf = (scans: readonly Scan[]): PreparedCase[] =>
  scans.map(({ subject, image, shape, thumbnail }, i) => {
    const record = { id: `case-${i}`, imageSha256: image, shape, thumbnail: Buffer.from(thumbnail).toString('base64') }
    return { found: { subject }, record } as PreparedCase
  })

/** Every pair with its scalar product: what is found must be this, whatever is passed over on the way. */
function pairsOf(scans: readonly Scan[]): { copies: unknown[]; alike: number; within: number } {
  const unit = scans.map(({ thumbnail }) => standardized(thumbnail))
  const found = { copies: [] as unknown[], alike: 0, within: 0 }
  for (const [i, a] of scans.entries())
    for (const [j, b] of scans.slice(0, i).entries()) {
      const same = a.image === b.image
      if (a.subject === b.subject) {
        if (same) found.within++
        continue
      }
      const correlation = same ? 1 : a.shape.join() === b.shape.join() ? scalarProduct(unit[i]!, unit[j]!) : 0
      if (same || correlation >= 0.9995) found.copies.push({ cases: [`case-${j}`, `case-${i}`], correlation })
      else if (correlation >= 0.995) found.alike++
    }
  return found
}

describe('a search for copies', () => {
  test('finds what the scalar product of every pair finds, with the same correlations in the same order', () => {
    let [copies, alike] = [0, 0]
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 0, max: 14 }), (seed, count) => {
        const scans = someScans(seed, count)
        const expected = pairsOf(scans)
        copies += expected.copies.length
        alike += expected.alike
        let thrown: unknown
        let findings: ReturnType<typeof checkDuplicates> = []
        try {
          findings = checkDuplicates(preparedOf(scans))
        } catch (error) {
          thrown = error
        }
        if (expected.copies.length > 0) {
          expect(thrown).toMatchObject({ code: 'DATASET_DUPLICATE' })
          expect((thrown as MeshflError).data.pairs).toEqual(expected.copies)
          return
        }
        expect(thrown).toBeUndefined()
        const near = findings.filter(({ code }) => code === 'NEAR_DUPLICATE')
        expect(near.length).toBe(expected.alike > 20 ? 21 : expected.alike)
        expect(findings.length - near.length).toBe(expected.within)
      }),
      { numRuns: 150 },
    )
    expect(Math.min(copies, alike)).toBeGreaterThan(50)
  })

  test('passes over no pair that reaches the bound, and over nearly all of different heads', () => {
    const apart = { near: 0, far: 0 }
    for (const [i, shape] of SHAPES.entries()) {
      const random = createRandom(i, 'apart')
      const length = thumbnailShape(shape).reduce((a, b) => a * b)
      const head = Float64Array.from({ length }, () => random.integer(256))
      const scans = [0, 0.5, 1, 2, 4, 6, 8, 10, 12, 60, 100, 1000].map((noise) => {
        const thumbnail = Uint8Array.from(head, (x) => Math.max(0, Math.min(255, x + noise * random.normal())))
        return { shape, thumbnail: standardized(thumbnail) }
      })
      for (const least of [0.9, 0.995, 0.9995]) {
        const isApart = apartness(scans, least)
        for (let a = 0; a < scans.length; a++)
          for (let b = 0; b < a; b++) {
            const correlation = scalarProduct(scans[a]!.thumbnail, scans[b]!.thumbnail)
            if (isApart(a, b)) {
              expect(correlation).toBeLessThan(least)
              apart.far++
            } else if (correlation < least - 1e-6) apart.near++
          }
      }
    }
    expect(apart.near).toBe(0)
    expect(apart.far).toBeGreaterThan(100)
  })
})
