import { canonicalJson, type SiteDescription, type Study } from '@meshfl/core'
import type { ApprovedSite, Refusal } from './admissions.js'

/**
 * Why a site with this key and description cannot take part, if so: both values are named.
 * @param sites those that were approved, sorted by name
 */
export function refuseDescription(
  sites: readonly ApprovedSite[],
  description: SiteDescription,
  known: ApprovedSite | undefined,
  study: Study,
): Refusal | undefined {
  const refuse = (reason: string): Refusal => ({ code: 'FEDERATION_DENIED', reason })
  const { site } = description
  if (known && known.site !== site) return refuse(`this key was approved as ${known.site}, it now says ${site}`)
  const { trainCases, validCases } = description
  const was = known?.description
  // They are its weight in the average, and that was approved.
  if (was && (trainCases > was.trainCases || validCases > was.validCases))
    return refuse(
      `${site} has ${trainCases} training and ${validCases} validation cases, it was admitted with ${was.trainCases} and ${was.validCases}`,
    )
  if (trainCases < 1) return refuse(`${site} has no training cases`)
  if (description.classes !== study.model.classes)
    return refuse(`${site} has ${description.classes} classes, the study ${study.model.classes}`)
  const names = description.classNames
  if (canonicalJson(names) !== canonicalJson(study.classNames))
    return refuse(`${site} has the classes ${names.join(', ')}, the study ${study.classNames.join(', ')}`)
  // What the study leaves out is as at the first admitted site: for that site too, should its dataset have changed.
  const first = sites[0]
  const whose = (asked: unknown): string =>
    asked !== undefined ? 'the study has' : first?.site === site ? 'it was admitted with' : `${first?.site} has`
  const labelMap = study.labelMap ?? first?.description.labelMap ?? description.labelMap
  if (description.labelMap !== labelMap)
    return refuse(`${site} has the label map ${description.labelMap}, ${whose(study.labelMap)} ${labelMap}`)
  const voxelSize = study.voxelSizeMm ?? first?.description.voxelSizeMm ?? description.voxelSizeMm
  if (Math.abs(description.voxelSizeMm - voxelSize) > 1e-6 * voxelSize)
    return refuse(`${site} has voxels of ${description.voxelSizeMm} mm, ${whose(study.voxelSizeMm)} ${voxelSize} mm`)
  const { mode, orientation } = study.conform ?? first?.description.conform ?? description.conform
  if (description.conform.mode !== mode)
    return refuse(`${site} was conformed with ${description.conform.mode}, ${whose(study.conform)} ${mode}`)
  const lies = description.conform.orientation
  if (orientation !== undefined && lies !== undefined && lies !== orientation)
    return refuse(`${site} has scans that lie ${lies}, ${whose(study.conform)} ${orientation}`)
  return undefined
}
