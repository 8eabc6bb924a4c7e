import { closeSync, existsSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type EventSink, explainWriteError, type MeshflEvent, makeFolder } from '@meshfl/core'
import { csvHeader, csvLine } from './csv-figures.js'
import { type Figures, figuresOf } from './figures.js'
import { scalarRecord, versionRecord } from './tensorboard-record.js'

/** The run's figures as files for other tools. */
export interface FigureFiles {
  write(event: MeshflEvent): void
  close(): void
}

export interface FigureFilesOptions {
  /** The run's folder. */
  folder: string
  classNames: readonly string[]
  /** What the run's log holds already. */
  past: readonly MeshflEvent[]
  /** The files could not be written; nothing more is. */
  onFailed(error: unknown): void
}

/** What the log names as global lies in the folder `global`; a site has one of its own, so that TensorBoard compares them. */
const GLOBAL = 'global'
const EVENT_FILE = 'events.out.tfevents.0.meshfl'
/** Sites beyond these have no folder: each holds a file open. Their figures are in metrics.csv. */
const MOST_SITES = 256

/** Files that the figures of a run of so many sites hold open: `metrics.csv`, and TensorBoard's of each site and of the whole. */
export function figureFilesOf(sites: number): number {
  return Math.min(sites, MOST_SITES) + 2
}

/**
 * Writes `metrics.csv` and TensorBoard's event files under `tensorboard/` as a run goes on. Both are derived: they are made anew from
 * the run's log when the run is opened, and a fault in writing them does not end it.
 */
export function openFigureFiles({ folder, classNames, past, onFailed }: FigureFilesOptions): FigureFiles {
  const files = new Map<string, number>()
  let failed = false
  const attempt = (path: string, work: () => void): void => {
    if (failed) return
    try {
      work()
    } catch (error) {
      failed = true
      onFailed(explainWriteError(error, path))
    }
  }
  const file = (path: string, first: () => Uint8Array | string): number => {
    const known = files.get(path)
    if (known !== undefined) return known
    makeFolder(join(path, '..'))
    const opened = openSync(path, 'w')
    files.set(path, opened)
    put(opened, first())
    return opened
  }
  const csvPath = join(folder, 'metrics.csv')
  const boards = join(folder, 'tensorboard')
  const boardSites = new Set<string>()
  /** What was written of the last round: a coordinator that is started again has scores told again that it heard before. */
  const written = new Set<string>()
  let lastRound = 0
  const writeFigures = (figures: Figures): void => {
    if (figures.round > lastRound) written.clear()
    lastRound = Math.max(lastRound, figures.round)
    const what = `${figures.round} ${figures.phase} ${figures.site ?? ''}`
    if (written.has(what)) return
    written.add(what)
    put(
      file(csvPath, () => csvHeader(classNames)),
      csvLine(figures, classNames),
    )
    const seconds = Date.parse(figures.time) / 1000
    const scalars = scalarsOf(figures)
    if (scalars.length === 0) return
    const { site } = figures
    if (site !== null && !boardSites.has(site)) {
      if (boardSites.size === MOST_SITES) return
      boardSites.add(site)
    }
    const board = join(boards, site === null ? GLOBAL : folderOf(site), EVENT_FILE)
    put(
      file(board, () => versionRecord(seconds)),
      scalarRecord(seconds, figures.round, scalars),
    )
  }
  const write: EventSink = (event) => {
    for (const figures of figuresOf(event)) attempt(csvPath, () => writeFigures(figures))
  }
  attempt(csvPath, () => {
    removeBoards(boards)
    file(csvPath, () => csvHeader(classNames))
  })
  past.forEach(write)
  return {
    write,
    close() {
      for (const opened of files.values()) closeSync(opened)
      files.clear()
      failed = true
    },
  }
}

/** The site of a run on one machine has the name of its dataset, which may be any text: it leads nowhere else. */
function folderOf(site: string): string {
  const name = site.replaceAll(/[^\p{L}\p{M}\p{N}._ -]+/gu, '-')
  return name === GLOBAL || /^\.*$/.test(name) ? `site-${name}` : name
}

/** A write may take a part only. */
function put(file: number, data: Uint8Array | string): void {
  let bytes = typeof data === 'string' ? Buffer.from(data) : data
  while (bytes.length > 0) bytes = bytes.subarray(writeSync(file, bytes))
}

/** Removes our event files, and nothing else that somebody keeps there. */
function removeBoards(folder: string): void {
  if (!existsSync(folder)) return
  for (const entry of readdirSync(folder, { withFileTypes: true }))
    if (entry.isDirectory()) rmSync(join(folder, entry.name, EVENT_FILE), { force: true })
}

function scalarsOf({ phase, loss, foregroundDice, dicePerClass, seconds }: Figures): { tag: string; value: number }[] {
  const found: [string, number | null][] = [
    [`loss/${phase}`, loss],
    [`dice ${phase}/foreground`, foregroundDice],
    ...Object.entries(dicePerClass).map(([name, value]): [string, number | null] => [`dice ${phase}/${name}`, value]),
    [`seconds/${phase}`, seconds],
  ]
  return found.flatMap(([tag, value]) => (value === null ? [] : [{ tag, value }]))
}
