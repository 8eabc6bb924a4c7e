import type { LossSpec } from '@meshfl/engine'

/**
 * torch.nn.CrossEntropyLoss(weight, label_smoothing, reduction='mean') over logits (N,C,V) and labels (N,V), and its gradient:
 * the sum over voxels of (1 - s) w_y (-log p_y) + s/C sum over c of w_c (-log p_c), divided by the sum of w_y.
 */
export function crossEntropy(
  logits: Float64Array,
  labels: Uint8Array,
  classes: number,
  voxels: number,
  { classWeights, labelSmoothing }: LossSpec,
): { loss: number; gradient: Float64Array } {
  const gradient = new Float64Array(logits.length)
  const smooth = labelSmoothing / classes
  const weightSum = classWeights.reduce((sum, weight) => sum + weight, 0)
  let loss = 0
  let total = 0
  for (let i = 0; i < labels.length; i++) {
    const truth = labels[i]!
    if (truth >= classes) throw new RangeError(`label ${truth} of voxel ${i}, but ${classes} classes`)
    const first = Math.floor(i / voxels) * classes * voxels + (i % voxels)
    let largest = Number.NEGATIVE_INFINITY
    for (let c = 0; c < classes; c++) largest = Math.max(largest, logits[first + c * voxels]!)
    let sum = 0
    for (let c = 0; c < classes; c++) sum += Math.exp(logits[first + c * voxels]! - largest)
    const logSum = largest + Math.log(sum)
    const weight = classWeights[truth]!
    total += weight
    for (let c = 0; c < classes; c++) {
      const at = first + c * voxels
      const logP = logits[at]! - logSum
      const target = (c === truth ? (1 - labelSmoothing) * weight : 0) + smooth * classWeights[c]!
      loss -= target * logP
      gradient[at] = ((1 - labelSmoothing) * weight + smooth * weightSum) * Math.exp(logP) - target
    }
  }
  for (let i = 0; i < gradient.length; i++) gradient[i]! /= total
  return { loss: loss / total, gradient }
}
