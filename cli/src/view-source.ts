import { existsSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { MeshflError } from '@meshfl/core'

/** What was named to `meshfl view`. */
export type ViewSource = { kind: 'run' | 'dataset' | 'image'; path: string }

/**
 * Tells a run, a dataset and a scan apart.
 * @throws MeshflError `FILE_NOT_FOUND`, `VIEW_SOURCE_UNKNOWN`
 */
export function viewSource(path: string): ViewSource {
  if (!existsSync(path)) {
    throw new MeshflError('FILE_NOT_FOUND', `there is no ${path}`, {
      hint: 'name a run, a dataset that meshfl split wrote, or a scan',
    })
  }
  if (!statSync(path).isDirectory()) {
    if (basename(path) === 'dataset.json') return { kind: 'dataset', path: dirname(path) }
    return { kind: 'image', path }
  }
  if (existsSync(join(path, 'dataset.json'))) return { kind: 'dataset', path }
  // A run that has only just begun has one of them.
  if (['events.jsonl', 'study.yaml'].some((name) => existsSync(join(path, name)))) return { kind: 'run', path }
  throw new MeshflError('VIEW_SOURCE_UNKNOWN', `${path} is no run and no dataset`, {
    kind: 'usage',
    hint: 'name the folder of --out of a run, a dataset that meshfl split wrote, or a scan',
  })
}
