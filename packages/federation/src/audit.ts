import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
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
import { ledgerLines, readCommits, WITHOUT_LOG } from './logged-commits.js'
import { checkModelFiles, readModelFiles } from './model-files.js'
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
  /** Rounds whose model file in rounds/ is there and is the one that the ledger names. */
  models: number
  signingPublic: Uint8Array
  problem?: { round: number; what: string }
  /** What is not as at the end of a run that keeps its updates, and yet right: what is not written yet, or not computed again. */
  note?: string
}

/**
 * Checks a run's folder without a network: the ledger's chain and signatures, that it is of this study and begins with its initial
 * model, that it goes as far as the run's logs say, that the model files (rounds/, latest, best) are those that it names, and, where updates were kept,
 * that every round's model is what the study's strategy makes of them. The run may go on meanwhile, or have been killed: a round
 * that is committed and has no line or file yet is told in `note`.
 * @throws MeshflError `LEDGER_MISSING`, `LEDGER_KEY_MISSING`, `UPDATES_MALFORMED`, `COMMIT_INVALID`
 */
export async function auditRun(options: AuditOptions): Promise<AuditVerdict> {
  const { folder, study } = options
  const signingPublic = options.signingPublic ?? (await keyOf(folder))
  // What follows is read before what it follows from: of a run that goes on, the log or the ledger then has all that was seen. Where
  // the log began before tells which files must have been there.
  const before = await readCommits(folder)
  const files = readModelFiles(folder, options.layout)
  const told = readTold(folder)
  const log = await readCommits(folder)
  const logged = ledgerLines(log?.commits ?? [])
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
  const isByStep = study.federation.sync === 'step'
  const steps = isByStep && first ? (first.steps ?? log?.commits.at(-1)?.steps ?? undefined) : 1
  const other = entries.find((entry) => entry.steps !== first!.steps)
  if (other) return fail(other.round, 'its rounds have another number of steps than those before')
  const unwritten = due.length > 0 ? [dueWords(lines.length, due.length, isByStep)] : []
  const notes: string[] = []
  if (steps === undefined)
    notes.push('the ledger does not say how many steps a round has: model files were not compared')
  else {
    // A line of the ledger is a step, where that is what is exchanged; files and events are of rounds.
    const results = entries.filter((entry) => entry.round % steps === 0).map(({ result }) => result)
    const missing = told.rounds.find(({ round, result }) => results[round - 1] !== result)
    if (missing) {
      const isThere = results[missing.round - 1] !== undefined
      const what = isThere ? 'the ledger has another result than events.jsonl' : whyMissing(log !== null)
      return fail(missing.round * steps, what)
    }
    const found = checkModelFiles(files, { results, steps, before, after: log, toldBest: told.best })
    verdict.models = found.models
    if (found.problem) return fail(found.problem.round * steps, found.problem.what)
    unwritten.push(...found.unwritten)
    if (found.note !== undefined) notes.push(found.note)
  }
  const replay = await replayRounds(options, entries.slice(0, lines.length))
  verdict.replayed = replay.rounds
  if (replay.problem) return fail(replay.rounds + 1, replay.problem)
  if (replay.note !== undefined) notes.push(replay.note)
  if (unwritten.length > 0) {
    const what = `committed (state/log) and not written yet: ${unwritten.join(', ')}`
    notes.unshift(`${what}; the coordinator does that a moment later, or at its next start`)
  }
  return notes.length === 0 ? verdict : { ...verdict, note: notes.join('; ') }
}

async function keyOf(folder: string): Promise<Uint8Array> {
  const path = join(folder, 'keys', 'coordinator.json')
  if (existsSync(path)) return (await loadIdentity(path)).signingPublic
  if (!existsSync(join(folder, 'ledger.jsonl'))) {
    throw new MeshflError('RUN_NOT_FEDERATED', `${folder} is no run of a coordinator: it has no ledger, and no key`, {
      kind: 'usage',
      hint: 'name the folder that was given to meshfl serve or simulate as --out',
      data: { folder },
    })
  }
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
  return due === 1
    ? `${name} ${rounds + 1} in ledger.jsonl`
    : `${name}s ${rounds + 1} to ${rounds + due} in ledger.jsonl`
}

function whyMissing(hasLog: boolean): string {
  const words = 'the ledger has nothing of it; it is in events.jsonl'
  return hasLog ? `${words}, and not in state/log either` : `${words} ${WITHOUT_LOG}`
}

/** What events.jsonl says of rounds: it is not signed, and shows where a ledger was cut. */
function readTold(folder: string): { rounds: { round: number; result: string }[]; best: number | undefined } {
  const events = readEventLog(join(folder, 'events.jsonl'), ['update-applied', 'best'])
  return {
    rounds: events.flatMap((event) =>
      event.type === 'update-applied' ? [{ round: event.round, result: event.parametersSha256 }] : [],
    ),
    best: events.findLast((event) => event.type === 'best')?.round,
  }
}
