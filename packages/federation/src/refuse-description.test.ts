import { StudySchema } from '@meshfl/core'
import { expect, test } from 'vitest'
import type { ApprovedSite } from './admissions.js'
import { refuseDescription } from './refuse-description.js'
import { describeTinySite } from './tiny-trainer.js'

test('with a step an exchange sites that were admitted with grids of their own come back, and none with a larger one', () => {
  const study = StudySchema.parse({ federation: { sync: 'step' } })
  const of = (site: string, edge: number) => ({
    ...describeTinySite(site),
    conform: { mode: 'freesurfer' as const, shape: [edge, edge, edge] as [number, number, number] },
  })
  const sites = [of('a', 256), of('b', 320)].map(
    (description) => ({ site: description.site, description }) as ApprovedSite,
  )
  const refuse = (site: number, edge: number) =>
    refuseDescription(sites, of(sites[site]!.site, edge), sites[site], study)?.reason
  expect([refuse(0, 256), refuse(1, 320), refuse(1, 256)]).toEqual([undefined, undefined, undefined])
  expect(refuse(0, 320)).toBe('a has volumes of 320 x 320 x 320 voxels, it was admitted with 256 x 256 x 256')
  expect(refuseDescription(sites, of('c', 256), undefined, study)?.reason).toContain('b has 320 x 320 x 320')
})
