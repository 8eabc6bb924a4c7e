import type { SurfaceConvention } from '../surface/surface-distances.js'
import { assd } from './assd.js'
import { dice } from './dice.js'
import { hd } from './hd.js'
import { hd95 } from './hd95.js'
import { jaccard } from './jaccard.js'
import type { Metric } from './metric.js'
import { nsd } from './nsd.js'
import { precision } from './precision.js'
import { predictedVolume } from './predicted-volume.js'
import { sensitivity } from './sensitivity.js'
import { specificity } from './specificity.js'
import { truthVolume } from './truth-volume.js'
import { volumeError } from './volume-error.js'
import { volumetricSimilarity } from './volumetric-similarity.js'

/** Every metric that counts of voxels give, in the order in which reports show them. */
export const COUNT_METRICS: readonly Metric[] = [
  dice,
  jaccard,
  sensitivity,
  precision,
  specificity,
  volumetricSimilarity,
  truthVolume,
  predictedVolume,
  volumeError,
]

/** What is measured of surfaces, of each class but background. */
export const SURFACE_METRICS: readonly Metric[] = [nsd, hd95, assd, hd]

/** Every metric of a report in which surfaces were measured, or not. */
export function metricsOf(surface: SurfaceConvention | undefined): readonly Metric[] {
  return surface === undefined ? COUNT_METRICS : [...COUNT_METRICS, ...SURFACE_METRICS]
}

/** The metrics of one class of it. The surfaces of background are those of the other classes, and the end of the volume: they are not measured. */
export function classMetricsOf(surface: SurfaceConvention | undefined, classIndex: number): readonly Metric[] {
  return classIndex === 0 ? COUNT_METRICS : metricsOf(surface)
}
