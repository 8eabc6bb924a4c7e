import { join } from 'node:path'
import {
  type EventSink,
  lockFolder,
  MeshflError,
  type MeshflEvent,
  now,
  type SiteDescription,
  type SiteTrainer,
  type Study,
} from '@meshfl/core'
import type { FederationResult } from './coordinator.js'
import type { Told } from './coordinator-state.js'
import { fingerprint, loadIdentity } from './identity.js'
import { enrolmentKeys, inviteAddress, parseInvite } from './invite.js'
import { PatientWrites } from './patient-writes.js'
import { OwnRounds, type SiteRounds } from './site-rounds.js'
import { SiteRun } from './site-run.js'
import { SiteStore } from './site-store.js'
import { DEFAULT_TIMING, type Internals } from './timing.js'

/** What a coordinator says to keys that it does not take any more. A new invite then brings new ones; the site's state stays. */
const KEYS_DO_NOT_COUNT = ['FEDERATION_REFUSED', 'SITE_REVOKED', 'SITE_KEYS_REPLACED']

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
  /** Goes on with another engine, instruction set or precision than the site was admitted with; default: refused. */
  allowEngineChange?: boolean
  events: EventSink
  /** Where the last round is kept. Default: `<folder>/state/round`. */
  rounds?: SiteRounds
  /** Leaves the federation, saying so; the folder keeps everything. */
  signal: AbortSignal
}

/**
 * Takes part in a federation until it ends: enrols with the invite (the first time), trains and scores what the coordinator asks
 * for, reconnects for ever, and goes on where its folder stands. Resolves with the final global model, which is in
 * `<folder>/model.safetensors` too.
 * @throws MeshflError `INVITE_MALFORMED`, `INVITE_EXPIRED`, `INVITE_USED`, `SITE_REVOKED`, `SITE_KEYS_REPLACED`, `SITE_ENGINE_CHANGED`, `FEDERATION_DENIED`, `FEDERATION_REFUSED`,
 * `FEDERATION_SERVER_KEY`, `FEDERATION_VERSION`, `RUN_LOCKED`, `SITE_STATE_MISMATCH`, `SITE_STATE_INVALID`, `UPDATE_NOT_FINITE`,
 * `INTERRUPTED`, and whatever the trainer throws
 */
export async function joinFederation(options: JoinOptions, internals: Internals = {}): Promise<FederationResult> {
  const invite = parseInvite(options.invite)
  const tell = (event: Told): void => options.events({ ...event, time: now() } as MeshflEvent)
  const timing = { ...DEFAULT_TIMING, ...internals.timing }
  const lock = await lockFolder(options.folder, {
    touchMs: timing.lockTouchMs,
    onWatch: (message) => tell({ type: 'log', level: 'info', message }),
    signal: options.signal,
  })
  const signal = AbortSignal.any([options.signal, lock.lost])
  try {
    const patience = new PatientWrites({
      tell: (level, message) => tell({ type: 'log', level, message }),
      retryMs: timing.writeRetryMs,
    })
    const rounds = options.rounds ?? new OwnRounds(join(options.folder, 'state', 'round'), patience)
    const store = new SiteStore(options.folder, patience, rounds)
    await store.sweep()
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
    const { id } = enrolmentKeys(invite.secret)
    const run = async (keys: string, isMember: boolean): Promise<FederationResult> => {
      const identity = await loadIdentity(store.keysPath(keys))
      if (!isMember) {
        const words = `joining ${invite.host}:${invite.port} with the key ${fingerprint(identity.signingPublic)}`
        tell({ type: 'log', level: 'info', message: words })
      }
      return new SiteRun({
        invite,
        address: options.address ?? inviteAddress(invite),
        identity,
        store,
        patience,
        isMember,
        enrolment: { keys, invites: [...(membership?.invites ?? []), id] },
        describe: options.describe,
        createTrainer: options.createTrainer,
        allowsEngineChange: options.allowEngineChange === true,
        tell,
        signal,
        timing,
        at: internals.at ?? (() => undefined),
      }).finish()
    }
    if (!membership) return await run('site.json', false)
    try {
      return await run(membership.keys, true)
    } catch (error) {
      const isKnown = membership.invites.includes(id)
      if (isKnown || !(error instanceof MeshflError) || !KEYS_DO_NOT_COUNT.includes(error.code)) throw error
      tell({ type: 'log', level: 'info', message: `${error.message}: coming with new keys and the new invite` })
      return await run(`site-${id}.json`, false)
    }
  } catch (error) {
    throw lock.lost.aborted ? lock.lost.reason : error
  } finally {
    lock.release()
  }
}
