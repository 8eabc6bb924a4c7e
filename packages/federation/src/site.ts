import {
  type EventSink,
  MeshflError,
  type MeshflEvent,
  now,
  type SiteDescription,
  type SiteTrainer,
  type Study,
} from '@meshfl/core'
import type { FederationResult } from './coordinator.js'
import type { Told } from './coordinator-state.js'
import { lockFolder } from './folder-lock.js'
import { fingerprint, loadIdentity } from './identity.js'
import { inviteAddress, parseInvite } from './invite.js'
import { PatientWrites } from './patient-writes.js'
import { SiteRun } from './site-run.js'
import { SiteStore } from './site-store.js'
import { DEFAULT_TIMING, type Internals } from './timing.js'

export interface JoinOptions {
  /** The line that the coordinator printed: `mfl1:...`. */
  invite: string
  /** Where to connect in place of the invite's address, when something relays from there: `tcp://127.0.0.1:45123`. */
  address?: string
  /** The site's keys and state; one federation a folder. */
  folder: string
  /** What this site's dataset is, for the coordinator to check against the study. */
  describe(study: Study): Promise<SiteDescription>
  /** Called once, when the study is known and this site is admitted. */
  createTrainer(study: Study, layoutSha256: string): Promise<SiteTrainer>
  events: EventSink
  /** Leaves the federation, saying so; the folder keeps everything. */
  signal: AbortSignal
}

/**
 * Takes part in a federation until it ends: enrols with the invite (the first time), trains and scores what the coordinator asks
 * for, reconnects for ever, and goes on where its folder stands. Resolves with the final global model, which is in
 * `<folder>/model.safetensors` too.
 * @throws MeshflError `INVITE_MALFORMED`, `INVITE_EXPIRED`, `INVITE_USED`, `FEDERATION_DENIED`, `FEDERATION_REFUSED`,
 * `FEDERATION_SERVER_KEY`, `FEDERATION_VERSION`, `RUN_LOCKED`, `SITE_STATE_MISMATCH`, `SITE_STATE_INVALID`, `UPDATE_NOT_FINITE`,
 * `INTERRUPTED`, and whatever the trainer throws
 */
export async function joinFederation(options: JoinOptions, internals: Internals = {}): Promise<FederationResult> {
  const invite = parseInvite(options.invite)
  const lock = lockFolder(options.folder)
  const tell = (event: Told): void => options.events({ ...event, time: now() } as MeshflEvent)
  try {
    const timing = { ...DEFAULT_TIMING, ...internals.timing }
    const patience = new PatientWrites({
      tell: (level, message) => tell({ type: 'log', level, message }),
      retryMs: timing.writeRetryMs,
    })
    const store = new SiteStore(options.folder, patience)
    await store.sweep()
    const identity = await loadIdentity(store.keysPath)
    const membership = store.readMembership()
    if (
      membership &&
      (membership.curvePublic !== invite.curvePublic.toString('base64url') ||
        membership.signingPublic !== invite.signingPublic.toString('base64url'))
    ) {
      throw new MeshflError('SITE_STATE_MISMATCH', `${options.folder} belongs to another federation`, {
        hint: 'choose another --out for this invite',
        data: { folder: options.folder },
      })
    }
    const finished = membership && (await store.readFinished(membership.run))
    if (finished) {
      tell({ type: 'log', level: 'info', message: 'this site has the final model already' })
      return finished
    }
    if (!membership) {
      const words = `joining ${invite.host}:${invite.port} with the key ${fingerprint(identity.signingPublic)}`
      tell({ type: 'log', level: 'info', message: words })
    }
    const run = new SiteRun({
      invite,
      address: options.address ?? inviteAddress(invite),
      identity,
      store,
      patience,
      membership,
      describe: options.describe,
      createTrainer: options.createTrainer,
      tell,
      signal: options.signal,
      timing,
      at: internals.at ?? (() => undefined),
    })
    return await run.finish()
  } finally {
    lock.release()
  }
}
