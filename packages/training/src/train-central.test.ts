import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  decodeModel,
  type EvaluateOutcome,
  type MeshflEvent,
  modelSha256,
  openEventLog,
  type Study,
  StudySchema,
  sha256,
  TEMPORARY_PREFIX,
} from '@meshfl/core'
import { initializeModel, modelLayout } from '@meshfl/engine'
import { createReferenceEngine, createTinyDataset } from '@meshfl/testkit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { BEST_FILE, CHECKPOINT_FILE, LATEST_FILE } from './checkpoint.js'
import { LocalTrainer } from './local-trainer.js'
import { type CentralOptions, type CentralTrainer, openCheckpoint, trainCentral } from './train-central.js'

const study = StudySchema.parse({
  seed: 5,
  rounds: 4,
  model: { channels: 2, dilations: [1, 2], dropout: 0.2 },
  recipe: { maxLearningRate: 0.05 },
})
const layout = modelLayout(study.model)
const engine = createReferenceEngine()
let run: string

beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), 'meshfl-central-'))
})
afterEach(() => rm(run, { recursive: true, force: true }))

async function openTrainer(
  of: Study = study,
  valid = 2,
  tiny = createTinyDataset({ seed: 1, train: 3, valid }),
): Promise<LocalTrainer> {
  return new LocalTrainer({
    session: await engine.createSession(of.model, tiny.grid),
    spec: of.model,
    recipe: of.recipe,
    seed: of.seed,
    site: 'site-1',
    classNames: of.classNames,
    ...tiny,
  })
}

async function train(options: Partial<CentralOptions> = {}) {
  const events: MeshflEvent[] = []
  const outcome = await trainCentral({
    study,
    run,
    trainer: await openTrainer(options.study),
    engine,
    signal: new AbortController().signal,
    emit: (event) => events.push(event),
    ...options,
  })
  return { ...outcome, events }
}

/** Hashes of the files whose bytes a run promises. */
async function models(): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {}
  for (const name of [LATEST_FILE, BEST_FILE]) hashes[name] = sha256(await readFile(join(run, name)))
  return hashes
}

async function undisturbed() {
  const outcome = await train()
  const files = await models()
  await rm(run, { recursive: true })
  await mkdir(run)
  return { outcome, files }
}

/** A trainer whose Dice in validation are given, round by round. */
function scoring(scores: (number | null)[]): CentralTrainer {
  const dice = (foregroundDice: number | null) => ({ perClass: {}, foregroundDice })
  return {
    site: 'site-1',
    casesSha256: 'the same',
    train: async ({ round }) => ({
      model: initializeModel(study.model, round),
      samples: 1,
      state: new Uint8Array([round]),
      metrics: { loss: 1, dice: dice(0.5), seconds: 0 },
    }),
    evaluate: async ({ round }): Promise<EvaluateOutcome> => ({
      cases: 1,
      loss: 1,
      dice: dice(scores[round - 1] ?? null),
    }),
  }
}

describe('a run', () => {
  test('tells every round in order and ends with the files that it names', async () => {
    const { events, parametersSha256, rounds, model, best } = await train()
    expect(rounds).toBe(4)
    expect(modelSha256(model)).toBe(parametersSha256)
    const round = (n: number) =>
      events.filter((event) => 'round' in event && event.round === n && event.type !== 'best').map(({ type }) => type)
    for (const n of [1, 2, 3, 4]) {
      const steps = ['step', 'step', 'step']
      const rest = ['site-trained', 'update-applied', 'site-evaluated', 'round-finished']
      expect(round(n)).toEqual(['round-started', ...steps, ...rest])
    }
    const last = events.findLast((event) => event.type === 'round-finished')
    expect(last).toMatchObject({ round: 4, rounds: 4, parametersSha256, secondsLeft: 0 })
    expect(events.findLast((event) => event.type === 'best')).toMatchObject(best!)
    const latest = decodeModel(layout, await readFile(join(run, LATEST_FILE)))
    expect(modelSha256(latest)).toBe(parametersSha256)
    expect(latest.file.metadata['meshfl.round']).toBe('4')
    expect((await readdir(run)).sort()).toEqual([BEST_FILE, CHECKPOINT_FILE, LATEST_FILE])
  })

  test('has the same bits every time', async () => {
    const { outcome, files } = await undisturbed()
    expect((await train()).parametersSha256).toBe(outcome.parametersSha256)
    expect(await models()).toEqual(files)
  })

  test('is, bit for bit, a federation of one site that hands the weights through', async () => {
    const { parametersSha256 } = await train()
    const trainer = await openTrainer()
    let model = initializeModel(study.model, study.seed)
    let state: Uint8Array | null = null
    for (let round = 1; round <= study.rounds; round++) {
      const { signal } = new AbortController()
      ;({ model, state } = await trainer.train({ round, rounds: 4, model, state, signal, onStep: () => undefined }))
    }
    expect(modelSha256(model)).toBe(parametersSha256)
  })

  test('that is done does nothing more', async () => {
    const first = await train()
    const { casesSha256 } = await openTrainer()
    const again = await train({ trainer: { ...scoring([]), casesSha256 } })
    expect(again.parametersSha256).toBe(first.parametersSha256)
    expect(again.events.filter(({ type }) => type === 'round-started')).toEqual([])
  })

  test('starts from a given model', async () => {
    const initialModel = initializeModel(study.model, 99)
    const { outcome } = await undisturbed()
    expect((await train({ initialModel })).parametersSha256).not.toBe(outcome.parametersSha256)
  })
})

describe('the best model', () => {
  const bestOf = async () => decodeModel(layout, await readFile(join(run, BEST_FILE))).file.metadata['meshfl.round']

  test('is the first of the rounds with the highest validation Dice', async () => {
    const { best, events } = await train({ trainer: scoring([0.2, 0.6, 0.4, 0.6]) })
    expect(best).toEqual({ round: 2, foregroundDice: 0.6 })
    expect(events.filter(({ type }) => type === 'best').length).toBe(2)
    expect(await bestOf()).toBe('2')
  })

  test('is the last one without validation cases', async () => {
    const trainer = await openTrainer(study, 0)
    expect((await train({ trainer })).best).toBeNull()
    expect(await bestOf()).toBe('4')
  })

  test('ends the run when it reaches the target, and a resumed run knows', async () => {
    const target = { ...study, targetDice: 0.5 }
    const trainer = scoring([0.2, 0.6, 0.7, 0.7])
    expect((await train({ study: target, trainer })).rounds).toBe(2)
    expect((await train({ study: target, trainer })).rounds).toBe(2)
  })

  test('ends the run when it has not risen for the patience, and a resumed run knows', async () => {
    const patient = { ...study, earlyStop: { patience: 1, minDelta: 0.05 } }
    const trainer = scoring([0.2, 0.3, 0.34, 0.9])
    for (let time = 0; time < 2; time++) {
      const { rounds, best } = await train({ study: patient, trainer })
      expect({ rounds, best }).toEqual({ rounds: 3, best: { round: 3, foregroundDice: 0.34 } })
    }
  })
})

describe('a run that was stopped', () => {
  test('at any event continues to the bits of an undisturbed one', async () => {
    const { outcome, files } = await undisturbed()
    const count = outcome.events.length
    for (let at = 0; at < count; at += 3) {
      await rm(run, { recursive: true })
      let seen = 0
      const emit = (): void => {
        if (seen++ === at) throw new Error('killed')
      }
      await expect(train({ emit })).rejects.toThrow('killed')
      expect((await train()).parametersSha256).toBe(outcome.parametersSha256)
      expect(await models()).toEqual(files)
    }
  })

  test.each([
    [CHECKPOINT_FILE, 2],
    [LATEST_FILE, 3],
    [BEST_FILE, 3],
  ])('while it wrote %s continues likewise, after round %d', async (name, committed) => {
    const { outcome, files } = await undisturbed()
    const path = join(run, name)
    let held = Buffer.alloc(0)
    // A folder of that name makes the third round's write fail at exactly this file.
    const emit = (event: MeshflEvent): void => {
      if (event.type !== 'site-trained' || event.round !== 3) return
      held = readFileSync(path)
      rmSync(path)
      mkdirSync(path)
    }
    await expect(train({ emit })).rejects.toMatchObject({ code: 'PATH_NOT_WRITABLE' })
    await rmdir(path)
    await writeFile(path, held)
    await writeFile(join(run, `${TEMPORARY_PREFIX}0123-${name}`), 'half of it')
    expect((await openCheckpoint({ study, run, engine, trainer: await openTrainer() }))?.progress.round).toBe(committed)
    expect((await train()).parametersSha256).toBe(outcome.parametersSha256)
    expect(await models()).toEqual(files)
    expect((await readdir(run)).sort()).toEqual([BEST_FILE, CHECKPOINT_FILE, LATEST_FILE])
  })

  test.each(['update-applied', 'site-evaluated', 'best', 'round-finished'] as const)(
    'between the commit and its %s tells each event of the round once when it goes on',
    async (type) => {
      const whole = await undisturbed()
      const log = openEventLog(join(run, 'events.jsonl'))
      const told: MeshflEvent[] = []
      const tell = (event: MeshflEvent): void => {
        log.write(event)
        told.push(event)
      }
      const emit = (event: MeshflEvent): void => {
        if (event.type === type) throw new Error('killed')
        tell(event)
      }
      await expect(train({ emit })).rejects.toThrow('killed')
      await train({ emit: tell })
      log.close()
      const untimed = (events: MeshflEvent[]) =>
        events
          .filter((event) => 'round' in event && event.type !== 'step')
          .map((event) => ({ ...event, time: '', seconds: 0, secondsLeft: 0 }))
      expect(untimed(told)).toEqual(untimed(whole.outcome.events))
      expect(untimed((await train()).events)).toEqual([])
    },
  )

  test('is not continued on other cases, which would mix those that it has learned from with those that it is scored on', async () => {
    await train()
    const cases = createTinyDataset({ seed: 1, train: 3, valid: 2 })
    cases.trainCases[1]!.imageSha256 = 'another'
    for (const trainer of [await openTrainer(study, 3), await openTrainer(study, 2, cases)]) {
      await expect(train({ trainer })).rejects.toMatchObject({ code: 'RUN_DATASET_CHANGED' })
    }
  })

  test('is not continued with another study, nor on another engine unless that is allowed', async () => {
    const { parametersSha256 } = await train()
    for (const other of [
      { ...study, rounds: 5 },
      { ...study, model: { ...study.model, channels: 3 } },
    ]) {
      await expect(train({ study: other })).rejects.toMatchObject({ code: 'RUN_STUDY_MISMATCH' })
    }
    const elsewhere = { name: 'cuda', precision: 'fp32', device: { instructionSet: 'sm_90' } } as const
    const coarser = { ...engine, precision: 'bf16' } as const
    await expect(train({ engine: coarser })).rejects.toMatchObject({ code: 'RUN_ENGINE_CHANGED' })
    await expect(train({ engine: elsewhere })).rejects.toMatchObject({ code: 'RUN_ENGINE_CHANGED' })
    const allowed = await train({ engine: elsewhere, allowEngineChange: true })
    expect(allowed.parametersSha256).toBe(parametersSha256)
  })

  test('tells what it would continue from', async () => {
    expect(await openCheckpoint({ study, run, engine, trainer: await openTrainer() })).toBeNull()
    await train()
    expect((await openCheckpoint({ study, run, engine, trainer: await openTrainer() }))?.progress).toMatchObject({
      round: 4,
      engine: 'cpu',
    })
  })
})
