import { MeshflError, type ModelState, type TrainOutcome } from '@meshfl/core'
import { encodeVectorBody, keepModel } from './frame.js'
import type { TrainMetrics, Work } from './messages.js'
import { ownPartOf } from './own-part.js'
import type { SavedRound } from './site-store.js'
import { LARGEST_GRADIENT, outOfBounds } from './update-bounds.js'
import { findUnusable } from './vector-tensor.js'
import type { Welcome } from './welcome.js'

/**
 * The optimiser that a round begins with: that of the last round; for one that is trained anew, that from before it.
 * @param saved the last round that was trained
 */
export function stateBefore(
  saved: SavedRound | null,
  { round, base }: Pick<Work, 'round' | 'base'>,
): Uint8Array | null {
  if (!saved) return null
  return isAnew(saved, round, base) ? saved.stateBefore : saved.stateAfter
}

/** The site's own model that a round begins with, as `stateBefore`. */
export function ownBefore(saved: SavedRound | null, { round, base }: Pick<Work, 'round' | 'base'>): ModelState | null {
  if (!saved) return null
  return isAnew(saved, round, base) ? saved.ownBefore : saved.model
}

function isAnew(saved: SavedRound, round: number, base: string): boolean {
  return saved.round === round && saved.base !== base
}

/** What a site keeps of a round that it has trained. @throws MeshflError `UPDATE_NOT_FINITE` */
export function savedRound(
  work: Work,
  outcome: TrainOutcome & { metrics: TrainMetrics },
  last: SavedRound | null,
  { run, study, layout }: Welcome,
): SavedRound {
  const { model, samples, state, metrics, vector } = outcome
  const fault =
    outOfBounds(layout, model, study.federation.sync === 'step' ? 'gradients' : 'parameters') ??
    (vector && findUnusable(vector, LARGEST_GRADIENT) >= 0 ? 'a float of its vector is too large' : undefined)
  if (fault !== undefined)
    throw new MeshflError('UPDATE_NOT_FINITE', `the update of round ${work.round} cannot be sent: ${fault}`, {
      hint: 'lower maxLearningRate; look for corrupt images',
    })
  const kept = keepModel(layout, model)
  return {
    run,
    round: work.round,
    base: work.base,
    update: kept.sha256,
    samples,
    metrics,
    model: kept.model,
    ...(vector ? { vector: vector.slice(), vectorSha256: encodeVectorBody(vector).vectorSha256 } : {}),
    ownBefore: ownPartOf(study.federation) === 'nothing' ? null : ownBefore(last, work),
    stateBefore: stateBefore(last, work),
    stateAfter: state,
  }
}
