import type { ModelData } from '@meshfl/core'
import {
  type ConformOptions,
  conformGeometry,
  conformImage,
  IDENTITY,
  orientation,
  reorient,
  type Shape,
  type Volume,
  voxelSize,
} from '@meshfl/volume'

/** A part of the voxel size: what differs by less is rounding of a header. */
const SAME_SIZE = 0.01

/** What a person asks for; the rest is as the model was trained. */
export interface ConformRequest {
  mode?: ConformOptions['mode'] | undefined
  shape?: Shape | undefined
  voxelSizeMm?: number | undefined
}

/**
 * Brings a scan to what a model has learned from. In mode `none` its axes are turned to those of the dataset, no voxel changes its
 * value, and a warning says what cannot be made alike.
 * @throws MeshflError `VOLUME_AFFINE_SINGULAR`, `USAGE_CONFORM`
 */
export function conformScan(
  scan: Volume,
  trained: ModelData,
  request: ConformRequest,
): { conformed: Volume<Uint8Array>; warnings: string[] } {
  const mode = request.mode ?? trained.conform?.mode ?? 'freesurfer'
  const voxelSizeMm = request.voxelSizeMm ?? trained.voxelSizeMm ?? 1
  const edge = Math.round(256 / voxelSizeMm)
  const options = { mode, shape: request.shape ?? trained.conform?.shape ?? [edge, edge, edge], voxelSizeMm } as const
  if (mode !== 'none') return { conformed: conformImage(scan, options), warnings: [] }
  const axcodes = trainedOrientation(trained)
  const turned = axcodes === undefined ? scan : reorient(scan, axcodes)
  const warnings = [
    ...(axcodes === undefined
      ? [
          `the model does not say which way its scans lay, so this one is segmented as it lies (${orientation(scan.affine)})`,
        ]
      : []),
    ...voxelSizeWarning(scan, trained.voxelSizeMm),
  ]
  return { conformed: conformImage(turned, options), warnings }
}

/** Where the voxel axes of the scans pointed that a model has learned from; undefined where its file does not tell. */
function trainedOrientation({ conform }: ModelData): string | undefined {
  if (conform === undefined || conform.mode === 'none') return conform?.orientation
  return orientation(conformGeometry({ shape: conform.shape, affine: IDENTITY }, { ...conform, voxelSizeMm: 1 }).affine)
}

function voxelSizeWarning({ affine }: Volume, trainedMm: number | undefined): string[] {
  if (trainedMm === undefined) return []
  const edges = voxelSize(affine)
  // Of voxels that are no cubes a dataset keeps the edge of the cube of their volume.
  const mm = Math.cbrt(edges[0] * edges[1] * edges[2])
  if (Math.abs(mm - trainedMm) <= SAME_SIZE * trainedMm) return []
  const shown = edges.map((each) => Number(each.toFixed(3))).join(' x ')
  return [
    `its voxels are ${shown} mm, those that the model has learned from ${trainedMm} mm, and without conforming none is resampled`,
  ]
}
