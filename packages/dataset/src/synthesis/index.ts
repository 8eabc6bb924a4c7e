export { type BestThresholds, bestThresholds, type ThresholdCase } from './best-thresholds.js'
export { type BrainOptions, makeBrain, type SynthesizedBrain } from './make-brain.js'
export { type BrainsOptions, makeBrains } from './make-brains.js'
