import { type Stats, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { explainReadError, MeshflError, systemErrorName } from '@meshfl/core'

/** What was named to `meshfl view`. */
export type ViewSource = { kind: 'run' | 'dataset' | 'image'; path: string }

/**
 * Tells a run, a dataset and a scan apart.
 * @throws MeshflError `FILE_NOT_FOUND`, `FILE_NOT_READABLE`, `VIEW_SOURCE_UNKNOWN`
 */
export function viewSource(path: string): ViewSource {
  const found = statOf(path)
  if (found === undefined) {
    throw new MeshflError('FILE_NOT_FOUND', `there is no ${path}`, {
      hint: 'name a run, a dataset that meshfl split wrote, or a scan',
    })
  }
  if (!found.isDirectory()) {
    if (basename(path) === 'dataset.json') return { kind: 'dataset', path: dirname(path) }
    return { kind: 'image', path }
  }
  if (statOf(join(path, 'dataset.json'))) return { kind: 'dataset', path }
  // A run that has only just begun has one of them.
  if (['events.jsonl', 'study.yaml'].some((name) => statOf(join(path, name)))) return { kind: 'run', path }
  throw new MeshflError('VIEW_SOURCE_UNKNOWN', `${path} is no run and no dataset`, {
    kind: 'usage',
    hint: 'name the folder of --out of a run, a dataset that meshfl split wrote, or a scan',
  })
}

/** Undefined where nothing is there; what cannot be looked at is no such thing. */
function statOf(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch (error) {
    const code = systemErrorName(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw explainReadError(error, path)
  }
}
