import { hostname, networkInterfaces } from 'node:os'
import { join } from 'node:path'
import {
  type EventSink,
  type FolderLock,
  studySha256 as hashOfStudy,
  lockFolder,
  MeshflError,
  type MeshflEvent,
  type ModelLayout,
  type ModelState,
  modelSha256,
  now,
  type StepOptimizer,
  type Study,
  writeFileAtomic,
} from '@meshfl/core'
import { type Address, addressPath } from './administer-sites.js'
import { Admissions, type IssuedInvite } from './admissions.js'
import type { Approve } from './approvals.js'
import { ControlFolder } from './control-folder.js'
import { CoordinatorRun } from './coordinator-run.js'
import type { Best, Told } from './coordinator-state.js'
import { type Commit, CoordinatorStore, type SavedCommit } from './coordinator-store.js'
import { DerivedFiles } from './derived-files.js'
import { checkFileLimit, openFileLimit } from './file-limit.js'
import { Goodbyes } from './goodbyes.js'
import { loadIdentity, runName } from './identity.js'
import { formatInvite, parseInvite } from './invite.js'
import { KeptUpdates } from './kept-updates.js'
import { PatientWrites } from './patient-writes.js'
import { fewestUpdates } from './sampling.js'
import { checkStrategy } from './strategies/index.js'
import { type DataKeys, dataKeys, runMetadata } from './study-of-sites.js'
import { DEFAULT_TIMING, type Internals, UNHURRIED } from './timing.js'

/** What unfinished messages may take: a real site's is the larger of a megabyte and four models. */
const FLOOD_BYTES = 2 ** 29
const FLOOD_BYTES_A_SITE = 2 ** 20
/**
 * libzmq looks through the timers of all connections when one of them answers its heartbeat: 1,000 are asked every 5 s, and so many
 * more so much more seldom that the looking takes no more. (A site's own heartbeats keep its connection alive meanwhile.)
 */
const HEARTBEAT_MS_A_PAIR_OF_SITES = 5e-3
const INVITE_TTL_SECONDS = 7 * 24 * 3600

export interface CoordinatorOptions {
  /** The run's folder: keys, approved sites, commits, ledger, models. A run goes on where its folder stands. */
  folder: string
  /** Where to listen: `tcp://*:5555`, `tcp://127.0.0.1:*`. */
  bind: string
  /** `host:port` that invites name. Default: this machine's address and the bound port. */
  advertise?: string
  study: Study
  /** `studySha256` of the study. */
  studySha256: string
  layout: ModelLayout
  initialModel: ModelState
  /** Sites to invite. */
  sites: number
  /** Sites that a round needs. Default: all. */
  minSites?: number
  /** Asks a person whether a site may take part. */
  approve: Approve
  events: EventSink
  /** The folder's lock, where the caller has taken it already and gives it back itself, after this has stopped. */
  lock?: FolderLock
  /** Told, in words, that the start takes a moment. Its folder is not ours yet, so this goes into no log in there. */
  onWait?(message: string): void
  /** Stops the run; its folder keeps everything. */
  signal: AbortSignal
  /** Takes the steps of a study with `sync: step`. */
  stepOptimizer?: StepOptimizer
  /** Default: a week. */
  inviteTtlSeconds?: number
  /** Files that the process may come to hold open for other things: figures, metrics, the ends of tunnels. Default: none. */
  otherFiles?: number
  /** Whether the sites wait for one another to compute: then nobody is too slow. */
  sitesTakeTurns?: boolean
}

export interface FederationResult {
  rounds: number
  /** `modelSha256` of the model. */
  parametersSha256: string
  best: Best | null
  model: ModelState
}

export interface Coordinator {
  /** What it really listens on: `tcp://127.0.0.1:45123`. */
  readonly endpoint: string
  /** Those that nobody has used yet. */
  readonly invites: readonly { invite: string; expires: string }[]
  /** Rounds that were done before this start. */
  readonly resumedAtRound: number
  /** Raw 32 bytes of the Ed25519 key that signs the ledger. */
  readonly signingPublic: Uint8Array
  /** When the last round is scored and the sites have the model. Rejects with `INTERRUPTED` when stopped before. */
  readonly finished: Promise<FederationResult>
  /** After the round in progress. */
  pause(): void
  resume(): void
  /** Closes the socket and gives back the folder if it was locked here; doing it again does nothing. */
  stop(): Promise<void>
}

/**
 * Starts a coordinator, or continues one where its folder stands: same keys, same sites, next round.
 * @throws MeshflError `MIN_SITES_TOO_MANY`, `STRATEGY_TOO_FEW_SITES`, `OPEN_FILES_TOO_FEW`, `RUN_LOCKED`, `BIND_FAILED`, `ZAP_NOT_ENFORCED`, `RUN_STUDY_MISMATCH`, `ADVERTISE_INVALID`,
 * `KEY_FILE_MALFORMED`, `SITES_FILE_MALFORMED`, `COMMIT_INVALID`, `LEDGER_TRUNCATED`, `DISK_FULL`, `PATH_NOT_WRITABLE`
 */
export async function startCoordinator(options: CoordinatorOptions, internals: Internals = {}): Promise<Coordinator> {
  const { folder, study, studySha256, layout } = options
  const minSites = options.minSites ?? study.federation.minSites ?? options.sites
  if (minSites > options.sites) {
    throw new MeshflError('MIN_SITES_TOO_MANY', `a round needs ${minSites} sites, ${options.sites} are invited`, {
      kind: 'usage',
      hint: 'raise --sites or lower --min-sites',
    })
  }
  if (study.federation.sync === 'step' && !options.stepOptimizer)
    throw new TypeError('sync: step needs a stepOptimizer')
  checkStrategy(study.federation, fewestUpdates(study.federation, options.sites, minSites))
  // A mistake of the caller, not of a user: the run would go by a name that no study has.
  if (studySha256 !== hashOfStudy(study)) throw new TypeError('studySha256 is not the hash of the study')
  checkFileLimit(options.sites, options.otherFiles ?? 0, openFileLimit())
  const heartbeatMs = Math.max(DEFAULT_TIMING.heartbeatMs, options.sites ** 2 * HEARTBEAT_MS_A_PAIR_OF_SITES)
  const timing = {
    ...{ ...DEFAULT_TIMING, heartbeatMs },
    ...(options.sitesTakeTurns ? UNHURRIED : {}),
    ...internals.timing,
  }
  const lock =
    options.lock ??
    (await lockFolder(folder, {
      touchMs: timing.lockTouchMs,
      onWatch: (message) => options.onWait?.(message),
      signal: options.signal,
    }))
  const giveBack = (): void => {
    if (!options.lock) lock.release()
  }
  const told = new HeldEvents(options.events)
  let run: CoordinatorRun | undefined
  let store: CoordinatorStore | undefined
  try {
    const identity = await loadIdentity(join(folder, 'keys', 'coordinator.json'))
    const keys = (): DataKeys =>
      dataKeys(
        study,
        admissions.sites.map(({ description }) => description),
      )
    const patience = new PatientWrites({
      tell: (level, message) => told.tell({ type: 'log', level, message }),
      retryMs: timing.writeRetryMs,
    })
    const admissions = Admissions.open(folder, patience)
    const opened = await CoordinatorStore.open(folder, layout, patience)
    store = opened.store
    const runId = runName(studySha256, identity.signingPublic)
    // Until a site was admitted nobody counts on the folder: a start that failed does not bind the next one to its study.
    const isBinding = opened.saved !== null && (admissions.sites.length > 0 || lastOf(opened.saved).commit.round > 0)
    const found = isBinding ? opened.saved : null
    if (found && lastOf(found).commit.run !== runId) {
      throw new MeshflError('RUN_STUDY_MISMATCH', `${folder} holds a run of another study`, {
        hint: 'continue it with the study it was started with, or choose another --out',
        data: { folder },
      })
    }
    const derived = new DerivedFiles(folder, layout, (round) => runMetadata(study, keys(), round))
    const commits = found?.commits ?? [
      { commit: firstCommit(runId), model: options.initialModel, state: null, updates: new Map() },
    ]
    const saved = lastOf({ commits })
    checkLedger(folder, derived.ledgerBytes(), saved.commit)
    await deriveAll(derived, commits)
    const base = modelSha256(saved.model)
    const journal = (found?.journal ?? []).filter(
      (entry) =>
        entry.run === runId &&
        entry.round === saved.commit.round + 1 &&
        entry.base === base &&
        admissions.hadKey(entry.site, entry.key), // a site that was revoked since takes its update with it
    )
    await store.begin(saved, journal)
    await admissions.ensureInvites(options.sites, new Date(), options.inviteTtlSeconds ?? INVITE_TTL_SECONDS)

    const control = new ControlFolder(folder)
    control.prepare()
    let address: Address | undefined
    const format = ({ secret }: IssuedInvite): string =>
      formatInvite({
        ...address!,
        curvePublic: identity.curvePublic,
        signingPublic: identity.signingPublic,
        secret,
      })
    run = new CoordinatorRun({
      identity,
      admissions,
      store,
      derived,
      patience,
      goodbyes: Goodbyes.open(folder, runId, patience),
      runId,
      study,
      studySha256,
      layout,
      ...(options.stepOptimizer ? { stepOptimizer: options.stepOptimizer } : {}),
      minSites,
      dataKeys: keys,
      approve: options.approve,
      tell: (event) => told.tell(event),
      saved,
      journal,
      giveBack,
      control,
      // Sites that compute in this process take memory of their own, and nobody else is there.
      floodBytes: options.sitesTakeTurns
        ? null
        : (internals.floodBytes ?? FLOOD_BYTES + options.sites * FLOOD_BYTES_A_SITE),
      keptUpdates: study.federation.keepUpdates ? new KeptUpdates(folder, layout) : null,
      formatInvite: (invite) => format(invite),
      timing,
      checkedAtOnce: internals.checkedAtOnce,
      at: internals.at ?? (() => undefined),
    })
    const started = run
    lock.lost.throwIfAborted()
    lock.lost.addEventListener('abort', () => started.guard(() => lock.lost.throwIfAborted()))
    const preferredPort = store.lastPort()
    const endpoint = await run.open(options.bind, preferredPort)
    const port = Number(endpoint.slice(endpoint.lastIndexOf(':') + 1))
    if (port !== preferredPort) await store.writePort(port)
    address = parseAdvertised(options.advertise, endpoint)
    await writeFileAtomic(addressPath(folder), `${JSON.stringify(address)}\n`)
    // What is for one site's change of keys was given to that site.
    const invites = admissions
      .unusedInvites(new Date())
      .filter(({ site }) => site === undefined)
      .map((invite) => ({ invite: format(invite), expires: invite.expires.toISOString() }))
    for (const { invite } of invites) parseInvite(invite)
    started.openDesk()
    patience.begin()
    const onAbort = (): void => void started.stop()
    options.signal.addEventListener('abort', onAbort, { once: true })
    if (options.signal.aborted) onAbort()
    setImmediate(() => started.guard(() => told.release()))
    return {
      endpoint,
      invites,
      resumedAtRound: Math.floor(saved.commit.round / (saved.commit.steps ?? 1)),
      signingPublic: identity.signingPublic,
      finished: run.finished,
      pause: () => started.dispatch({ type: 'pause' }),
      resume: () => started.dispatch({ type: 'resume' }),
      async stop() {
        options.signal.removeEventListener('abort', onAbort)
        await started.stop()
        started.guard(() => told.release())
      },
    }
  } catch (error) {
    if (run) await run.stop()
    else {
      await store?.close()
      giveBack()
    }
    throw error
  }
}

function lastOf({ commits }: { commits: readonly SavedCommit[] }): SavedCommit {
  return commits.at(-1)!
}

function firstCommit(run: string): Commit {
  return {
    format: 'meshfl-commit/1',
    run,
    round: 0,
    steps: null,
    ledgerLine: null,
    ledgerBytes: 0,
    trained: null,
    evaluated: null,
    best: null,
    rise: null,
    compared: null,
    final: false,
  }
}

/**
 * A line is written to the ledger when its round is in the log: a longer ledger says that the log was damaged or restored from
 * an older copy, and to go on would write another history.
 */
function checkLedger(folder: string, bytes: number, { round, ledgerBytes }: Commit): void {
  if (bytes <= ledgerBytes) return
  const path = join(folder, 'state')
  throw new MeshflError('COMMIT_INVALID', `${path} ends with round ${round}, the ledger has later ones`, {
    hint: 'restore the run’s folder from a backup, or start again in an empty one',
    data: { path, ledgerBytes: bytes, expected: ledgerBytes },
  })
}

/** Makes what follows from the commits of the log, whatever of it a crash left behind. */
async function deriveAll(derived: DerivedFiles, commits: readonly SavedCommit[]): Promise<void> {
  await derived.writeLedger(commits.map(({ commit }) => commit))
  await derived.writeRounds(commits)
  for (const { commit, model } of commits) await derived.writeBest(commit, model)
  await derived.sync()
}

/** Keeps what happens while the coordinator starts until its caller has said that it has started. */
class HeldEvents {
  readonly #events: EventSink
  #held: Told[] | undefined = []

  constructor(events: EventSink) {
    this.#events = events
  }

  tell(event: Told): void {
    if (this.#held) this.#held.push(event)
    else this.#events({ ...event, time: now() } as MeshflEvent)
  }

  release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const event of held) this.tell(event)
  }
}

function parseAdvertised(advertise: string | undefined, endpoint: string): Address {
  const bound = /^tcp:\/\/\[?(.*?)\]?:(\d+)$/.exec(endpoint)!
  const port = Number(bound[2])
  if (advertise === undefined) {
    const isEverywhere = bound[1] === '0.0.0.0' || bound[1] === '::'
    return { host: isEverywhere ? ownAddress() : bound[1]!, port }
  }
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(advertise)
  const advertisedPort = match?.[3] === undefined ? port : Number(match[3])
  if (!match || advertisedPort < 1 || advertisedPort > 65_535) {
    throw new MeshflError('ADVERTISE_INVALID', `"${advertise}" is no host:port`, {
      kind: 'usage',
      hint: 'write it as trainer.example.org:5555',
    })
  }
  return { host: match[1] ?? match[2]!, port: advertisedPort }
}

/** The first address of this machine that others may reach, or its name. */
function ownAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? hostname()
}
