/** `content.json`: what the page is of. No path of the machine is in it. */
export interface PageContent {
  kind: 'image' | 'dataset' | 'run'
  title: string
  scenes: PageScene[]
  documents: PageDocument[]
  notes: string[]
  classColours: string[]
}

export interface PageDocument {
  title: string
  href: string
}

export interface PageScene {
  title: string
  facts: Record<string, string>
  labels: { title: string; classNames: Record<number, string> }[]
  notes: string[]
}

/** `scenes/<n>/image.json` */
export interface ImageInfo {
  /** Tells one content of the file from another; the entity tag of the volume that goes with it. */
  version: string
  /** Voxels along x, y, z of the file. */
  shape: [number, number, number]
  voxelSizeMm: [number, number, number]
  /** Where the file's axes point, e.g. RAS. */
  orientation: string
  storedType: string
  /** Voxels that were NaN or infinite and are shown as 0. */
  zeroed: number
  /** RAS millimetres to the file's voxel index, 12 numbers: the first three rows of a matrix. */
  mmToVoxel: number[]
}

/** `scenes/<n>/labels/<k>.json` */
export interface LabelInfo extends ImageInfo {
  /** The values in the map, ascending. The volume that goes with it holds, for each voxel, the place of its value in this list. */
  values: LabelValue[]
}

export interface LabelValue {
  value: number
  voxels: number
  ml: number
}

/** `run.json` */
export interface RunState {
  figures: RunFigures
  /** The reports that have been written so far. */
  documents: PageDocument[]
}

/** The curves of a run and where it is. */
export interface RunFigures {
  command: string | null
  engine: string | null
  /** Rounds that are done, and those that were asked for. */
  round: number
  rounds: number | null
  best: { round: number; foregroundDice: number } | null
  sites: number | null
  /** Null also where the run has been silent so long that it must have stopped. */
  secondsLeft: number | null
  /** When the last round was done, ISO 8601. */
  lastRoundAt: string | null
  /** Of the model after the last round. */
  parametersSha256: string | null
  classNames: string[]
  points: RoundPoint[]
  /** Of the first sites by name: more lines than that are not told apart. */
  siteCurves: { site: string; points: SitePoint[] }[]
  /** Sites beyond them. */
  moreSites: number
}

export interface RoundPoint {
  round: number
  trainLoss: number | null
  validLoss: number | null
  trainForegroundDice: number | null
  validForegroundDice: number | null
  /** Validation Dice of each class, in the order of `classNames`. */
  validDice: (number | null)[]
}

export interface SitePoint {
  round: number
  trainLoss: number | null
  validForegroundDice: number | null
}

/** What answers instead of data where a file cannot be read. */
export interface PageError {
  code: string
  message: string
  hint?: string
}
