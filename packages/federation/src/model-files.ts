import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeModel, type ModelLayout, modelSha256, TEMPORARY_PREFIX } from '@meshfl/core'
import { type LoggedCommits, WITHOUT_LOG } from './logged-commits.js'

/** The model of a file, by its hash; null where the file holds none. */
type Found = string | null

/** The model files of a run, as they were found. */
export interface ModelFiles {
  /** Those in rounds/, by their names. */
  rounds: Map<string, Found>
  latest?: Found
  best?: Found
}

export function readModelFiles(folder: string, layout: ModelLayout): ModelFiles {
  const read = (name: string): Found => {
    try {
      return modelSha256(decodeModel(layout, readFileSync(join(folder, name)), name))
    } catch {
      return null // whatever is wrong with it: it is not a round's model
    }
  }
  const isThere = (name: string): boolean => existsSync(join(folder, name))
  const names = isThere('rounds') ? readdirSync(join(folder, 'rounds')) : []
  const models = names.filter((name) => name.endsWith('.safetensors') && !name.startsWith(TEMPORARY_PREFIX)).sort()
  return {
    rounds: new Map(models.map((name) => [name, read(join('rounds', name))])),
    ...(isThere('latest.safetensors') ? { latest: read('latest.safetensors') } : {}),
    ...(isThere('best.safetensors') ? { best: read('best.safetensors') } : {}),
  }
}

/** What the model files of a run follow from. */
export interface ModelHistory {
  /** Hashes of the rounds' models, of round 1 first: those of the ledger, then those that only the log has. */
  results: readonly string[]
  /** Steps of a round. */
  steps: number
  /** The log before the files were read, and after that; null where there is none. */
  before: LoggedCommits | null
  after: LoggedCommits | null
  /** The round that events.jsonl names as the best. */
  toldBest: number | undefined
}

export interface ModelVerdict {
  /** Files in rounds/ that are right. */
  models: number
  /** The first file that is wrong. */
  problem?: { round: number; what: string }
  /** Files that are older than the log's last commits, and right for that. */
  unwritten: string[]
  /** What is right as far as it can be told, and should be known. */
  note?: string
}

/**
 * Compares model files with what they follow from. Files are written after their commit and before the log begins anew with a later
 * one: what a run that goes on, or that was killed, has not written yet is between the first commit of the log and its last.
 */
export function checkModelFiles(files: ModelFiles, history: ModelHistory): ModelVerdict {
  const verdict: ModelVerdict = { models: 0, unwritten: [] }
  const problem =
    checkRounds(files, history, verdict) ?? checkLatest(files, history, verdict) ?? checkBest(files, history, verdict)
  return problem ? { ...verdict, problem } : verdict
}

type Problem = NonNullable<ModelVerdict['problem']>

function checkRounds({ rounds }: ModelFiles, history: ModelHistory, verdict: ModelVerdict): Problem | undefined {
  for (const [name, found] of rounds) {
    const round = Number(/^(\d+)\.safetensors$/.exec(name)?.[1])
    const result = roundFileName(round) === name ? history.results[round - 1] : undefined
    if (result === undefined) {
      const what = `rounds/${name} is of no round that ${sources(history)}${hint(history)}`
      return { round: Number.isNaN(round) ? history.results.length + 1 : Math.max(1, round), what }
    }
    if (found === result) verdict.models += 1
    else if (found === null && round > writtenRound(history)) verdict.unwritten.push(`rounds/${name} (holds no model)`)
    else return { round, what: `rounds/${name} is not the model that the ledger names` }
  }
  return undefined
}

function checkLatest({ latest }: ModelFiles, history: ModelHistory, verdict: ModelVerdict): Problem | undefined {
  const last = history.results.length
  if (latest === undefined || (last > 0 && latest === history.results[last - 1])) return undefined
  const written = writtenRound(history)
  const round = roundOf(latest, history)
  if (last > written && (latest === null || round >= Math.max(1, written))) {
    verdict.unwritten.push(`latest.safetensors (${contents(round)})`)
    return undefined
  }
  const what = `latest.safetensors is not the model of the last round that ${sources(history)}${ofRound(round)}${hint(history)}`
  return { round: Math.max(1, last), what }
}

function checkBest({ best }: ModelFiles, history: ModelHistory, verdict: ModelVerdict): Problem | undefined {
  if (best === undefined) return undefined
  const { results, after, toldBest } = history
  const round = roundOf(best, history)
  const named = after ? after.commits.at(-1)?.best?.round : toldBest
  if (named !== undefined && results[named - 1] === best) return undefined
  if (!after && round > 0) {
    // A kill can take the last event: what events.jsonl says refutes nothing.
    if (named !== undefined) verdict.note = `best.safetensors is of round ${round}, events.jsonl names round ${named}`
    return undefined
  }
  const isDue = best === null ? results.length > writtenRound(history) : mayBeBest(history).has(round)
  if (after && !after.isOver && isDue) {
    verdict.unwritten.push(`best.safetensors (${contents(round)})`)
    return undefined
  }
  if (named === undefined) {
    const what = `best.safetensors is not the model of a round that ${after ? 'state/log names as the best' : 'the ledger has'}`
    return { round: Math.max(1, results.length), what: `${what}${ofRound(round)}` }
  }
  const what = `best.safetensors is not the model of round ${named}, which ${after ? 'state/log' : 'events.jsonl'} names as the best`
  return { round: named, what: `${what}${ofRound(round)}` }
}

/** Rounds that were the best at a moment of the log, and the last one, whose scores may not be in it yet. */
function mayBeBest({ before, after, steps }: ModelHistory): Set<number> {
  const rounds = [...(before?.commits ?? []), ...(after?.commits ?? [])].flatMap(({ best }) =>
    best ? [best.round] : [],
  )
  const last = after?.commits.at(-1)
  return new Set(last && !last.evaluated ? [...rounds, last.round / steps] : rounds)
}

/** The last round whose files are surely written: without a log all of them should be. */
function writtenRound({ results, steps, before, after }: ModelHistory): number {
  if (!after) return results.length
  return Math.floor((before?.commits[0]?.round ?? 0) / steps)
}

/** The last round that has this model; 0 where none has. */
function roundOf(found: Found, { results }: ModelHistory): number {
  return found === null ? 0 : results.lastIndexOf(found) + 1
}

function contents(round: number): string {
  return round > 0 ? `of round ${round}` : 'holds no model'
}

function ofRound(round: number): string {
  return round > 0 ? `, but of round ${round}` : ''
}

function sources({ after }: ModelHistory): string {
  return after ? 'the ledger or state/log has' : 'the ledger has'
}

function hint({ after }: ModelHistory): string {
  return after ? '' : ` ${WITHOUT_LOG}`
}

function roundFileName(round: number): string {
  return `${String(round).padStart(4, '0')}.safetensors`
}
