import type { ModelLayout } from '@meshfl/core'
import type { JournalEntry } from './coordinator-store.js'
import { decodeJsonBody, decodeModelBody, ProtocolError } from './frame.js'
import { verifyUpdate } from './ledger.js'
import { type Header, TrainMetricsSchema } from './messages.js'

/**
 * A site's update from its RESULT: hash, length, finite floats and the signature that the ledger will keep.
 * @param key the site's Ed25519 key, base64url
 * @throws ProtocolError
 */
export function readUpdate(
  header: Header<'RESULT'>,
  bodies: readonly Uint8Array[],
  { run, site, key, layout }: { run: string; site: string; key: string; layout: ModelLayout },
): JournalEntry {
  const { round, base, samples, update, updateSignature: signature } = header
  if (update === undefined || signature === undefined) throw new ProtocolError('it has no hash or no signature')
  const model = decodeModelBody(layout, bodies[0]!, update)
  const metrics = decodeJsonBody(TrainMetricsSchema, bodies[1]!)
  const entry: JournalEntry = { run, round, site, base, key, update, samples, signature, metrics, model }
  if (!verifyUpdate(Buffer.from(key, 'base64url'), entry, signature))
    throw new ProtocolError('the update’s signature is wrong')
  return entry
}
