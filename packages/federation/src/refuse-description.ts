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
  const grid = study.federation.sync === 'step' ? refuseGrid(sites, description, was, study) : undefined
  return grid === undefined ? undefined : refuse(`${site} has volumes of ${grid}`)
}

/** Heads at the same voxel size, however their scans were cut: twice the edge along each axis. */
const MOST_TIMES = 8

/**
 * With `sync: step` the voxels of a batch are its weight in BatchNorm's statistics, and the shape is what bounds them: no site chooses
 * its own. Conformed scans have all one shape; where they were left as they lie, sites differ, and none by more than `MOST_TIMES`.
 */
function refuseGrid(
  sites: readonly ApprovedSite[],
  { site, conform }: SiteDescription,
  was: SiteDescription | undefined,
  study: Study,
): string | undefined {
  const voxels = voxelsOf(conform.shape)
  // It was admitted with the grid that it had, beside those of the others.
  if (was && !study.conform)
    return voxels > voxelsOf(was.conform.shape)
      ? `${conform.shape.join(' x ')} voxels, it was admitted with ${was.conform.shape.join(' x ')}`
      : undefined
  const others = study.conform
    ? [{ whose: 'the study has', shape: study.conform.shape }]
    : sites
        .filter((other) => other.site !== site)
        .map((other) => ({ whose: `${other.site} has`, shape: other.description.conform.shape }))
  const isOther = (shape: Shape): boolean =>
    conform.mode === 'none'
      ? Math.max(voxels, voxelsOf(shape)) > MOST_TIMES * Math.min(voxels, voxelsOf(shape))
      : shape.some((edge, axis) => edge !== conform.shape[axis])
  const found = others.find(({ shape }) => isOther(shape))
  return found && `${conform.shape.join(' x ')} voxels, ${found.whose} ${found.shape.join(' x ')}`
}

type Shape = SiteDescription['conform']['shape']

function voxelsOf([width, height, depth]: Shape): number {
  return width * height * depth
}
