import { MeshflError } from '@meshfl/core'
import { type DatasetManifest, openDataset } from '@meshfl/dataset'
import { type EngineOptions, engineChoice } from './engine-options.js'
import type { FederationOptions } from './federation-options.js'
import type { Output } from './output.js'
import { simulateFederation } from './simulate-federation.js'
import { studyForRun } from './study-for-run.js'
import type { StudyOptions } from './study-options.js'
import type { TelemetryOptions } from './telemetry-options.js'
import type { TrainingOptions } from './training-options.js'

export interface SimulateRunOptions
  extends FederationOptions,
    StudyOptions,
    EngineOptions,
    TrainingOptions,
    TelemetryOptions {
  /** Folder of the run; what is there already is gone on with. */
  out: string
  inProcess?: boolean
}

/** More sites than this are not given a process each: every process holds an engine of its own. */
const MOST_PROCESSES = 16

/**
 * Runs a federation of all sites of a dataset in a run's folder, from its last commit on.
 * @throws MeshflError `SIMULATE_NO_SITES`, and those of the dataset, the study and a federation
 */
export async function simulateRun(path: string, options: SimulateRunOptions, output: Output, signal: AbortSignal) {
  const { manifest } = await openDataset(path)
  checkHasSites(path, manifest)
  return simulateFederation({
    dataset: path,
    sites: manifest.sites,
    folder: options.out,
    study: await studyForRun(options.out, options, manifest),
    from: options.from,
    command: 'simulate',
    inProcess: options.inProcess ?? manifest.sites.length > MOST_PROCESSES,
    engine: engineChoice(options),
    training: options,
    telemetry: options,
    output,
    signal,
  })
}

/** @throws MeshflError `SIMULATE_NO_SITES` */
export function checkHasSites(path: string, { sites }: Pick<DatasetManifest, 'sites'>): void {
  if (sites.length > 0) return
  throw new MeshflError('SIMULATE_NO_SITES', `${path} was not dealt to sites`, {
    kind: 'usage',
    hint: 'prepare it with meshfl split --sites N',
  })
}
