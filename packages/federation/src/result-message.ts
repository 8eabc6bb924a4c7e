import { bytesOf, type EvaluateOutcome } from '@meshfl/core'
import { encodeJsonBody, encodeModelBody } from './frame.js'
import type { Identity } from './identity.js'
import { signUpdate } from './ledger.js'
import { type Header, PROTOCOL_VERSION, type Work } from './messages.js'
import type { SavedRound } from './site-store.js'

interface ResultMessage {
  header: Header<'RESULT'>
  bodies: Uint8Array[]
}

function headerOf({ purpose, round, base }: Work) {
  return { v: PROTOCOL_VERSION, type: 'RESULT', purpose, round, base } as const
}

/** The RESULT of an evaluation. */
export function scoresMessage(work: Work, evaluation: EvaluateOutcome): ResultMessage {
  const { cases, loss, dice, casesPerClass } = evaluation
  return {
    header: { ...headerOf(work), samples: cases },
    bodies: [new Uint8Array(), encodeJsonBody({ loss, dice, ...(casesPerClass ? { casesPerClass } : {}) })],
  }
}

/** The RESULT of a training, signed for the ledger. */
export function updateMessage(identity: Identity, site: string, work: Work, saved: SavedRound): ResultMessage {
  const { run, samples, update, vectorSha256, metrics, model, vector } = saved
  const beside = {
    ...(vectorSha256 === undefined ? {} : { vectorSha256 }),
    ...(metrics.voxels === undefined ? {} : { voxels: metrics.voxels }),
  }
  const claim = { run, round: work.round, site, base: work.base, samples, update, ...beside }
  return {
    header: {
      ...headerOf(work),
      samples,
      ...beside,
      updateSignature: signUpdate(identity, claim),
    },
    bodies: [encodeModelBody(model), encodeJsonBody(metrics), ...(vector ? [bytesOf(vector)] : [])],
  }
}
