import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  decodeModel,
  MeshflError,
  type ModelLayout,
  type ModelState,
  modelSha256,
  readEventLog,
  type StepOptimizer,
  type Study,
  studySha256,
} from '@meshfl/core'
import { loadIdentity, runName } from './identity.js'
import { readLedger, verifyLedger } from './ledger.js'
import { replayRounds } from './replay-rounds.js'

export interface AuditOptions {
  folder: string
  study: Study
  layout: ModelLayout
  /** Where round 1 began. */
  initialModel: ModelState
  /** Takes the steps of a study with `sync: step` again; without it they are not. */
  stepOptimizer?: StepOptimizer
  /** Raw 32 bytes of the coordinator's Ed25519 key, from somewhere else than the folder. Default: the folder's. */
  signingPublic?: Uint8Array
}

export interface AuditVerdict {
  ok: boolean
  /** Rounds that are right, from the first on; with `sync: step` steps, here and below. */
  rounds: number
  /** Rounds whose model was computed again from the sites' updates. */
  replayed: number
  /** Rounds whose model file is there and is the one that the ledger names. */
  models: number
  signingPublic: Uint8Array
  problem?: { round: number; what: string }
  /** Why rounds were not computed again, where that was to be expected. */
  note?: string
}

/**
 * Checks a run's folder without a network: the ledger's chain and signatures, that it is of this study and begins with its initial
 * model, that it goes as far as the run's log says, that the model files are those that it names, and, where updates were kept,
 * that every round's model is what the study's strategy makes of them.
 * @throws MeshflError `LEDGER_MISSING`, `LEDGER_KEY_MISSING`, `UPDATES_MALFORMED`
 */
export async function auditRun(options: AuditOptions): Promise<AuditVerdict> {
  const { folder, study } = options
  const signingPublic = options.signingPublic ?? (await keyOf(folder))
  const lines = readLines(folder)
  const verdict: AuditVerdict = { ok: true, rounds: 0, replayed: 0, models: 0, signingPublic }
  const fail = (round: number, what: string): AuditVerdict => ({
    ...verdict,
    ok: false,
    rounds: Math.min(verdict.rounds, round - 1),
    problem: { round, what },
  })
  const { ok, rounds, problem, round } = verifyLedger(lines, signingPublic)
  verdict.rounds = rounds
  if (!ok) return fail(round!, problem!)
  const entries = readLedger(lines)
  const [first] = entries
  if (first && first.run !== runName(studySha256(study), Buffer.from(signingPublic)))
    return fail(1, 'it is the ledger of another study or coordinator')
  if (first && first.base !== modelSha256(options.initialModel))
    return fail(1, 'it does not begin with the study’s initial model')
  // With sync: step a line is a step, and the log tells of rounds.
  const isByStep = study.federation.sync === 'step'
  const results = new Set(entries.map(({ result }) => result))
  const isKnown = (round: number, result: string): boolean =>
    isByStep ? results.has(result) : entries[round - 1]?.result === result
  const missing = loggedRounds(folder).find(({ round, result }) => !isKnown(round, result))
  if (missing) {
    const said = entries[missing.round - 1] ? 'another result than' : 'nothing of it; it is in'
    return fail(missing.round, `the ledger has ${said} the run’s log (events.jsonl)`)
  }
  for (const entry of entries) {
    const model = readModel(options, entry.round)
    if (!model) continue
    if (model instanceof Error || !isKnown(entry.round, modelSha256(model)))
      return fail(entry.round, `rounds/${fileName(entry.round)} is not the model that the ledger names`)
    verdict.models += 1
  }
  const replay = await replayRounds(options, entries)
  verdict.replayed = replay.rounds
  if (replay.problem) return fail(replay.rounds + 1, replay.problem)
  return replay.note === undefined ? verdict : { ...verdict, note: replay.note }
}

async function keyOf(folder: string): Promise<Uint8Array> {
  const path = join(folder, 'keys', 'coordinator.json')
  if (existsSync(path)) return (await loadIdentity(path)).signingPublic
  throw new MeshflError('LEDGER_KEY_MISSING', `${folder} holds no key of its coordinator`, {
    hint: 'give the coordinator’s public key, which meshfl audit printed before: --key',
    data: { folder },
  })
}

function readLines(folder: string): string[] {
  const path = join(folder, 'ledger.jsonl')
  if (!existsSync(path)) {
    throw new MeshflError('LEDGER_MISSING', `${folder} holds no ledger`, {
      hint: 'name the folder that was given to meshfl serve --out, after its first round',
      data: { folder },
    })
  }
  const text = readFileSync(path, 'utf8')
  return (text.endsWith('\n') ? text.slice(0, -1) : text).split('\n').filter((line, _, all) => all.length > 1 || line)
}

/** What the run's own log says of its rounds: it is not signed, and shows where a ledger was cut. */
function loggedRounds(folder: string): { round: number; result: string }[] {
  return readEventLog(join(folder, 'events.jsonl')).flatMap((event) =>
    event.type === 'update-applied' ? [{ round: event.round, result: event.parametersSha256 }] : [],
  )
}

function readModel({ folder, layout }: AuditOptions, round: number): ModelState | Error | undefined {
  const path = join(folder, 'rounds', fileName(round))
  if (!existsSync(path)) return undefined
  try {
    return decodeModel(layout, readFileSync(path), path)
  } catch (error) {
    return error as Error
  }
}

function fileName(round: number): string {
  return `${String(round).padStart(4, '0')}.safetensors`
}
