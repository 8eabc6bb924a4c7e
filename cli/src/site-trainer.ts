import { join } from 'node:path'
import {
  canonicalJson,
  type EventOf,
  MeshflError,
  memoryBytes,
  PROCESS_BYTES,
  type SiteDescription,
  type Study,
} from '@meshfl/core'
import { checkFoldChosen, createVolumeReader, type Dataset, openDataset, type VolumeReader } from '@meshfl/dataset'
import type { Engine, Session } from '@meshfl/engine'
import { LocalTrainer, type LocalTrainerOptions } from '@meshfl/training'
import { memoryEvent } from './memory-event.js'
import { VERSION } from './program.js'
import { dataCacheBytes, type TrainingOptions } from './training-options.js'

/** A dataset and an engine joined: what trains at a site, and what trains alone. */
export interface DatasetTrainer {
  trainer: LocalTrainer
  session: Session
  /** What the session's buffers will take. */
  memory: EventOf<'memory-planned'>
}

/** The name by which a dataset's random draws are made: its site's, or its own when it was not dealt to sites. */
export function siteName(dataset: Dataset): string {
  return dataset.manifest.site ?? dataset.manifest.name
}

/**
 * Opens a dataset to train on; that there is nothing to train on is told before anything is written or sent.
 * @param reader where many datasets are open at once: one thread for all of them
 * @param fold of its cross-validation
 * @throws MeshflError `TRAINING_NO_CASES`, `FOLD_INVALID` and those of `openDataset`
 */
export async function openTrainingDataset(
  path: string,
  reader: VolumeReader = createVolumeReader(),
  fold?: number,
): Promise<Dataset> {
  const dataset = await openDataset(path, reader, fold)
  checkFoldChosen(dataset.manifest, fold)
  if (dataset.cases('train').length > 0) return dataset
  throw new MeshflError('TRAINING_NO_CASES', `${path} has no case in its train split`, {
    hint: 'prepare it with other --ratios, fewer --sites or fewer --folds, or add scans',
  })
}

/**
 * Their names too, in their order: they are all that a model says of what its classes are.
 * @throws MeshflError `DATASET_STUDY_MISMATCH` when the dataset's classes are not the study's
 */
export function checkClasses(dataset: Dataset, study: Study): void {
  const { classes, name: map } = dataset.manifest.labelMap
  const names = classes.map(({ name }) => name)
  if (names.length !== study.model.classes) {
    throw mismatch(`${dataset.path} has ${names.length} classes (${map}), the study ${study.model.classes}`)
  }
  if (canonicalJson(names) !== canonicalJson(study.classNames)) {
    throw mismatch(
      `${dataset.path} has the classes ${names.join(', ')} (${map}), the study ${study.classNames.join(', ')}`,
    )
  }
}

function mismatch(message: string): MeshflError {
  return new MeshflError('DATASET_STUDY_MISMATCH', message, {
    hint: 'prepare the dataset with the label map of the study, or give the study the classes of the dataset',
  })
}

/** @throws MeshflError `DATASET_STUDY_MISMATCH` when the dataset's classes are not the study's; `ENGINE_MEMORY` when a step does not fit */
export async function createDatasetTrainer(
  dataset: Dataset,
  study: Study,
  engine: Engine,
  training: TrainingOptions = {},
): Promise<DatasetTrainer> {
  checkClasses(dataset, study)
  const batchSize = Math.min(study.recipe.batchSize, dataset.cases('train').length)
  const asked = await dataCacheBytes(training)
  const session = await engine.createSession(study.model, dataset.grid, { purpose: 'train', batchSize })
  const onHost = engine.name === 'cuda' ? 0 : session.memory.plannedBytes
  const cacheBytes = asked === undefined ? undefined : cacheBeside(onHost, asked, memoryBytes())
  const trainer = new LocalTrainer({
    ...trainerOptions(dataset, study),
    session,
    ...(cacheBytes === undefined ? {} : { cacheBytes }),
  })
  return { trainer, session, memory: memoryEvent(engine, session, study.model, 'train', batchSize) }
}

/**
 * Bytes of volumes that are kept beside a session: no more than there are left, or the process is killed without a word. The plan of a
 * session leaves room for as many as are kept by default.
 */
export function cacheBeside(sessionBytes: number, asked: number, memory: number): number {
  return Math.max(0, Math.min(asked, memory - sessionBytes - PROCESS_BYTES))
}

/** What of a trainer follows from the dataset and the study. */
export function trainerOptions(dataset: Dataset, study: Study): Omit<LocalTrainerOptions, 'session'> {
  return {
    spec: study.model,
    recipe: study.recipe,
    seed: study.seed,
    site: siteName(dataset),
    classNames: study.classNames,
    trainCases: dataset.cases('train'),
    validCases: dataset.cases('valid'),
    loadCase: (item) => dataset.loadCase(item),
  }
}

/**
 * What a site tells the coordinator of its dataset, engine and machine.
 * @param plannedBytes of the session that it will train in, where that is known
 */
export function describeSite(dataset: Dataset, engine: Engine, plannedBytes?: number): SiteDescription {
  const { manifest } = dataset
  const { classes, name } = manifest.labelMap
  const { mode, shape, voxelSizeMm, orientation } = manifest.conform
  return {
    site: siteName(dataset),
    trainCases: dataset.cases('train').length,
    validCases: dataset.cases('valid').length,
    classes: classes.length,
    classNames: classes.map((item) => item.name),
    labelMap: name,
    voxelSizeMm,
    conform: { mode, shape, ...(mode === 'none' ? { orientation } : {}) },
    engine: engine.name,
    instructionSet: engine.device.instructionSet,
    version: VERSION,
    findings: manifest.findings.length,
    plannedBytes,
    memoryBytes: memoryBytes(),
    precision: engine.precision,
  }
}

/** Folder of a site's part of a dataset. */
export function siteDatasetFolder(dataset: string, site: string): string {
  return join(dataset, 'sites', site)
}
