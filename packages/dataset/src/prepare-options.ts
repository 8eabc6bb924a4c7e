import type { ConformOptions } from '@meshfl/volume'
import type { DatasetManifest } from './manifest.js'

/** What `meshfl split` is asked for. */
export interface PrepareOptions {
  /** A folder in one of the layouts that `findCases` knows, or a table. */
  source: string
  /** The dataset's folder; made where there is none. */
  out: string
  /** `gw3`, `aseg`, `identity` or a JSON file. */
  labelMap: string
  conform: ConformOptions
  /** Weights of train, valid, test. */
  ratios: readonly [number, number, number]
  /** A column whose values are to be in train, valid and test alike, as far as the counts allow. */
  stratify?: string
  /** Deals train and valid to so many folds of a cross-validation; goes with no sites. */
  folds?: number
  /** Deals train and valid to so many sites under `<out>/sites/`; absent: one dataset. */
  sites?: number
  /** How: see `parsePartition`. `by:<column>` makes the sites itself. */
  partition: string
  seed: number
  /** What the layout calls the image, the label: see FindOptions. */
  image?: string
  label?: string
  /** Which volume of 4D images and labels, from 0. */
  volume?: number
  nanToZero?: boolean
  /** Default: the name of the source. */
  name?: string
  /** Of meshfl, for the manifest. */
  toolVersion: string
  /** Finds, pairs and splits, reads headers only and writes nothing. */
  dryRun?: boolean
  /** Cases in progress at a time; default 2. */
  workers?: number
  signal?: AbortSignal
  /** Told, in words, that another machine's lock of `out` is watched first: see `lockFolder`. */
  onWait?(message: string): void
  onProgress?(progress: { task: string; done: number; total: number; unit: string }): void
}

/** A case in error: not in the dataset. */
export interface LeftOut {
  subject: string
  code: string
  message: string
  hint?: string
}

export interface PrepareResult {
  /** As written to `<out>/dataset.json`; after a dry run without hashes, voxel counts and, for `identity`, classes. */
  manifest: DatasetManifest
  leftOut: LeftOut[]
}
