import type { RunFigures } from './page-data.js'

/** What the page shows, as data: whoever starts the server has read dataset, run or command line for it. */
export interface ViewerContent {
  kind: 'image' | 'dataset' | 'run'
  title: string
  scenes: readonly Scene[]
  /** Of a run: its figures as they are now. */
  run?: () => RunFigures
  /** Reports as they are now: pages without scripts that need nothing beside them. */
  documents?: () => readonly ViewerDocument[]
  /** What was found out about a scene or all of it and should be seen. */
  notes?: readonly string[]
  /** CSS colours of the classes, in the order of the values of a scene's classes; with more classes they come round again. */
  classColours: readonly string[]
}

/** One scan with the label maps that can be laid over it. */
export interface Scene {
  title: string
  /** Names and values beside it: subject, split, site. */
  facts?: Readonly<Record<string, string>>
  /** Path of the scan, in any format that `readVolume` knows. */
  image: string
  labels: readonly SceneLabel[]
  notes?: readonly string[]
}

export interface SceneLabel {
  title: string
  path: string
  /** Names of the values, where known. */
  classNames?: Readonly<Record<number, string>>
}

export interface ViewerDocument {
  title: string
  path: string
}
