import { dice } from './dice.js'
import { jaccard } from './jaccard.js'
import type { Metric } from './metric.js'
import { precision } from './precision.js'
import { predictedVolume } from './predicted-volume.js'
import { sensitivity } from './sensitivity.js'
import { specificity } from './specificity.js'
import { truthVolume } from './truth-volume.js'
import { volumeError } from './volume-error.js'
import { volumetricSimilarity } from './volumetric-similarity.js'

/** Every metric of a class of a case, in the order in which reports show them. */
export const METRICS: readonly Metric[] = [
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
