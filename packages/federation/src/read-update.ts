import type { Dice, ModelLayout, Study } from '@meshfl/core'
import type { z } from 'zod'
import type { ApprovedSite } from './admissions.js'
import type { JournalEntry } from './coordinator-store.js'
import { decodeJsonBody, decodeModelBody, decodeVectorBody, frameDigest, ProtocolError } from './frame.js'
import { type Header, TrainMetricsSchema } from './messages.js'
import { STRATEGIES } from './strategies/index.js'
import { LARGEST_GRADIENT, outOfBounds } from './update-bounds.js'

/** What an update is checked against. */
interface UpdateContext {
  run: string
  admitted: ApprovedSite
  study: Study
  layout: ModelLayout
}

/**
 * A site's update from its RESULT: length and floats are checked, the signature over its hash that the ledger will keep is not.
 * @throws ProtocolError
 */
export function decodeUpdate(
  header: Header<'RESULT'>,
  bodies: readonly Uint8Array[],
  { run, admitted, study, layout }: UpdateContext,
): JournalEntry {
  const { site, signingKey: key } = admitted
  const { round, base, samples, vectorSha256, voxels, updateSignature: signature } = header
  if (signature === undefined) throw new ProtocolError('it has no signature')
  const model = decodeModelBody(layout, bodies[0]!)
  const fault = outOfBounds(layout, model, study.federation.sync === 'step' ? 'gradients' : 'parameters')
  if (fault !== undefined) throw new ProtocolError(fault)
  const update = frameDigest(bodies[0]!).toString('hex')
  const metrics = readScores(TrainMetricsSchema, bodies[1]!, study)
  const isVectorDue = STRATEGIES[study.federation.strategy].taskVector !== undefined
  if (isVectorDue !== (vectorSha256 !== undefined))
    throw new ProtocolError(`${study.federation.strategy} and an update ${isVectorDue ? 'without' : 'with'} a vector`)
  return {
    ...{ run, round, site, base, key, update, samples, signature, metrics, model },
    ...(voxels === undefined ? {} : { voxels }),
    ...(vectorSha256 === undefined
      ? {}
      : { vectorSha256, vector: decodeVectorBody(bodies[2]!, vectorSha256, LARGEST_GRADIENT) }),
  }
}

/**
 * Whether the site has signed an update, and may send what it has signed.
 * @param isSigned what the check of its signature has found
 * @throws ProtocolError
 */
export function checkUpdate(
  { samples, voxels, metrics }: JournalEntry,
  isSigned: boolean,
  { admitted, study }: UpdateContext,
): void {
  if (!isSigned) throw new ProtocolError('the update’s signature is wrong')
  const { description } = admitted
  const isStep = study.federation.sync === 'step'
  if (isStep !== (metrics.voxels !== undefined)) throw new ProtocolError('it is of another sync than the study')
  checkWeight('training volumes', samples, description.trainCases)
  const { batchSize } = study.recipe
  if (isStep && samples > batchSize)
    throw new ProtocolError(`it counts ${samples} training volumes, a batch has ${batchSize}`)
  // Unsigned, they would be a weight that nobody answers for, and an audit could not take this step again, nor any after it.
  if (isStep && voxels === undefined)
    throw new ProtocolError('its voxels are not signed: the site needs the coordinator’s version of meshfl')
  if (voxels !== metrics.voxels) throw new ProtocolError(`it counts ${metrics.voxels} voxels and signs ${voxels}`)
  const [width, height, depth] = description.conform.shape
  if (metrics.voxels !== undefined) checkWeight('voxels', metrics.voxels, samples * width * height * depth)
}

/** Whoever approved a site approved its weight in the average too. @throws ProtocolError */
export function checkWeight(what: string, samples: number, admitted: number): void {
  if (samples <= admitted) return
  throw new ProtocolError(`it counts ${samples} ${what}, the site was admitted with ${admitted}`)
}

/** What scores may take beside a name, a number and a count of cases for each class. */
const SCORES_BYTES = 4096

/** @throws ProtocolError */
export function checkCasesPerClass(
  casesPerClass: Readonly<Record<string, number>> | undefined,
  samples: number,
  { classNames }: Study,
): void {
  for (const [name, cases] of Object.entries(casesPerClass ?? {})) {
    if (!classNames.includes(name)) throw new ProtocolError('it counts cases of classes that the study does not have')
    if (cases > samples) throw new ProtocolError(`it counts ${cases} cases of a class, and ${samples} in all`)
  }
}

/** Scores of the study's classes and no others, each between 0 and 1. @throws ProtocolError */
export function readScores<S extends z.ZodType<{ dice: Dice }>>(schema: S, body: Uint8Array, study: Study): z.infer<S> {
  // Half a megabyte of wrong names would take half a second to refuse one by one.
  const most = SCORES_BYTES + study.classNames.reduce((sum, name) => sum + 12 * name.length + 64, 0)
  if (body.length > most) throw new ProtocolError(`scores of ${body.length} bytes, more than ${most}`)
  const scores = decodeJsonBody(schema, body)
  const { perClass, foregroundDice } = scores.dice
  const unknown = Object.keys(perClass).filter((name) => !study.classNames.includes(name))
  if (unknown.length > 0) throw new ProtocolError(`it scores ${unknown.length} classes that the study does not have`)
  const isDice = (value: number | null): boolean => value === null || (value >= 0 && value <= 1)
  if (![...Object.values(perClass), foregroundDice].every(isDice))
    throw new ProtocolError('a Dice is not between 0 and 1')
  return scores
}
