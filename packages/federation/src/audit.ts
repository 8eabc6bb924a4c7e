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
import { ledgerLines, readCommits } from './logged-commits.js'
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
  /** Rounds of the ledger that are right, from the first on; with `sync: step` steps, here and below. */
  rounds: number
  /** Rounds whose model was computed again from the sites' updates. */
  replayed: number
  /** Rounds whose model file is there and is the one that the ledger names. */
  models: number
  signingPublic: Uint8Array
  problem?: { round: number; what: string }
  /** What is not as at the end of a run that keeps its updates, and yet right: rounds without a line, or not computed again. */
  note?: string
}

/**
 * Checks a run's folder without a network: the ledger's chain and signatures, that it is of this study and begins with its initial
 * model, that it goes as far as the run's logs say, that the model files are those that it names, and, where updates were kept,
 * that every round's model is what the study's strategy makes of them. The run may go on meanwhile, or have been killed: a round
 * that is committed and has no line yet is told in `note`.
 * @throws MeshflError `LEDGER_MISSING`, `LEDGER_KEY_MISSING`, `UPDATES_MALFORMED`, `COMMIT_INVALID`
 */
export async function auditRun(options: AuditOptions): Promise<AuditVerdict> {
  const { folder, study } = options
  const signingPublic = options.signingPublic ?? (await keyOf(folder))
  // What follows is read before what it follows from: of a run that goes on, the log or the ledger then has all that was seen.
  const told = toldRounds(folder)
  const commits = await readCommits(folder)
  const logged = ledgerLines(commits ?? [])
  const lines = readLines(folder, logged)
  const due = followingLines(lines, logged)
  const verdict: AuditVerdict = { ok: true, rounds: 0, replayed: 0, models: 0, signingPublic }
  const fail = (round: number, what: string): AuditVerdict => ({
    ...verdict,
    ok: false,
    rounds: Math.min(verdict.rounds, round - 1),
    problem: { round, what },
  })
  const { ok, rounds, problem, round } = verifyLedger([...lines, ...due], signingPublic)
  verdict.rounds = Math.min(rounds, lines.length)
  if (!ok) return fail(round!, round! > lines.length ? `${problem} (state/log)` : problem!)
  if (logged.size > 0 && Math.min(...logged.keys()) > lines.length + 1)
    return fail(lines.length + 1, 'the ledger has nothing of it; it is before those in state/log')
  const entries = readLedger([...lines, ...due])
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
  const missing = told.find(({ round, result }) => !isKnown(round, result))
  if (missing) {
    return fail(
      missing.round,
      entries[missing.round - 1] ? 'the ledger has another result than events.jsonl' : whyMissing(commits !== null),
    )
  }
  for (const entry of entries) {
    const model = readModel(options, entry.round)
    if (!model) continue
    if (model instanceof Error || !isKnown(entry.round, modelSha256(model)))
      return fail(entry.round, `rounds/${fileName(entry.round)} is not the model that the ledger names`)
    verdict.models += 1
  }
  const replay = await replayRounds(options, entries.slice(0, lines.length))
  verdict.replayed = replay.rounds
  if (replay.problem) return fail(replay.rounds + 1, replay.problem)
  const notes = [
    ...(due.length > 0 ? [dueWords(lines.length, due.length, isByStep)] : []),
    ...(replay.note === undefined ? [] : [replay.note]),
  ]
  return notes.length === 0 ? verdict : { ...verdict, note: notes.join('; ') }
}

async function keyOf(folder: string): Promise<Uint8Array> {
  const path = join(folder, 'keys', 'coordinator.json')
  if (existsSync(path)) return (await loadIdentity(path)).signingPublic
  throw new MeshflError('LEDGER_KEY_MISSING', `${folder} holds no key of its coordinator`, {
    hint: 'give the coordinator’s public key, which meshfl audit printed before: --key',
    data: { folder },
  })
}

/** @param logged the lines that the run's log holds: the start of one at the end of the file was being written */
function readLines(folder: string, logged: ReadonlyMap<number, string>): string[] {
  const path = join(folder, 'ledger.jsonl')
  if (!existsSync(path)) {
    throw new MeshflError('LEDGER_MISSING', `${folder} holds no ledger`, {
      hint: 'name the folder that was given to meshfl serve --out, after its first round',
      data: { folder },
    })
  }
  const lines = readFileSync(path, 'utf8').split('\n')
  const end = lines.pop()!
  const isBeingWritten = logged.get(lines.length + 1)?.startsWith(end)
  return end === '' || isBeingWritten ? lines : [...lines, end]
}

/** The lines that are due in a ledger: of rounds that are committed, one after the other. */
function followingLines(lines: readonly string[], logged: ReadonlyMap<number, string>): string[] {
  const due: string[] = []
  for (let round = lines.length + 1; logged.has(round); round++) due.push(logged.get(round)!)
  return due
}

function dueWords(rounds: number, due: number, isByStep: boolean): string {
  const name = isByStep ? 'step' : 'round'
  const which = due === 1 ? `${name} ${rounds + 1} is` : `${name}s ${rounds + 1} to ${rounds + due} are`
  return `${which} committed (state/log) and not in the ledger yet: the coordinator writes that a moment later, or at its next start`
}

function whyMissing(hasLog: boolean): string {
  const words = 'the ledger has nothing of it; it is in events.jsonl'
  return hasLog
    ? `${words}, and not in state/log either`
    : `${words}, and there is no state/log (or none that you may read) to say whether it was committed: audit the whole folder, ` +
        'or a copy that was made while no coordinator ran in it'
}

/** What events.jsonl says of the rounds: it is not signed, and shows where a ledger was cut. */
function toldRounds(folder: string): { round: number; result: string }[] {
  return readEventLog(join(folder, 'events.jsonl'), ['update-applied']).flatMap((event) =>
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
