import { join } from 'node:path'
import { now } from '@meshfl/core'
import { bestThresholds, makeBrains, openDataset, prepareDataset } from '@meshfl/dataset'
import type { Comparison } from '@meshfl/evaluation'
import { type EngineOptions, engineFromOptions } from './engine-options.js'
import { evaluateModel } from './evaluate-model.js'
import type { FederationOptions } from './federation-options.js'
import { finishEvaluation } from './finish-evaluation.js'
import type { Output } from './output.js'
import { VERSION } from './program.js'
import { simulateFederation } from './simulate-federation.js'
import { studyForRun } from './study-for-run.js'
import { openTrainedModel } from './trained-model.js'
import type { TrainingOptions } from './training-options.js'

/**
 * Small enough for a minute or two on two cores, large enough that thresholds on intensity do not do. The MeshNet is shallower and
 * wider than the paper's: nine blocks need many more steps than a demo has before fine detail comes through.
 */
const DEMO = {
  shape: [48, 48, 48] as const,
  voxelSizeMm: 4,
  subjectsPerSite: 6,
  ratios: [0.67, 0.11, 0.22] as const,
  rounds: 36,
  model: { channels: 8, dilations: [1, 2, 4, 1] },
  recipe: { maxLearningRate: 0.03, localEpochs: 2 },
}

export interface DemoRunOptions extends FederationOptions {
  /** Folder of everything; what is there already is gone on with. */
  out: string
  sites: number
  rounds?: number
  seed: number
  engine: EngineOptions
  training: TrainingOptions
  output: Output
  signal: AbortSignal
}

/** Makes brains -> splits them -> federates -> scores the held-out subjects -> says where the report is. */
export async function runDemo(options: DemoRunOptions): Promise<void> {
  const { out, sites, seed, output, signal } = options
  const [source, dataset, folder] = ['scans', 'dataset', 'run'].map((name) => join(out, name)) as [
    string,
    string,
    string,
  ]
  const { shape, voxelSizeMm } = DEMO
  await makeBrains({
    out: source,
    count: sites * DEMO.subjectsPerSite,
    seed,
    shape,
    voxelSizeMm,
    signal,
    onProgress: (done, total) =>
      output.events({ type: 'progress', time: now(), task: 'make brains', done, total, unit: 'brains' }),
  })
  const { manifest } = await prepareDataset({
    source,
    out: dataset,
    labelMap: 'gw3',
    conform: { mode: 'freesurfer', shape, voxelSizeMm },
    ratios: [...DEMO.ratios],
    sites,
    partition: 'iid',
    seed,
    toolVersion: VERSION,
    signal,
    onProgress: (progress) => output.events({ type: 'progress', time: now(), ...progress }),
  })
  const { rounds = DEMO.rounds } = options
  const study = await studyForRun(folder, { ...options, rounds, seed }, manifest, {
    model: DEMO.model,
    recipe: DEMO.recipe,
  })
  await simulateFederation({
    dataset,
    sites: manifest.sites,
    folder,
    study,
    command: 'demo',
    inProcess: false,
    engine: options.engine,
    training: options.training,
    output,
    signal,
  })
  const evaluation = await evaluateModel({
    model: await openTrainedModel(folder),
    dataset,
    split: 'test',
    engine: await engineFromOptions(options.engine),
    empty: 'nan',
    gates: [],
    comparisons: [await thresholds(dataset, study.classNames)],
    signal,
    onCase: (done, total) => output.events({ type: 'progress', time: now(), task: 'eval', done, total, unit: 'cases' }),
    onSession: output.events,
    onNote: (message, level) => output.events({ type: 'log', time: now(), level, message }),
  })
  await finishEvaluation(evaluation, undefined, output, signal)
}

/** The best that any two thresholds on intensity could do on the test cases, with the truth in hand. */
async function thresholds(path: string, classNames: readonly string[]): Promise<Comparison> {
  const dataset = await openDataset(path)
  const cases = await Promise.all(dataset.cases('test').map((item) => dataset.loadCase(item)))
  const [background = '', white = '', grey = ''] = classNames
  const { low, high, perClass, foregroundDice } = bestThresholds(cases, [background, white, grey])
  return {
    name: 'best intensity thresholds',
    dice: { perClass, foregroundDice },
    note: `grey matter from ${low}, white matter from ${high} of 255: chosen with the truth of these cases in hand`,
  }
}
