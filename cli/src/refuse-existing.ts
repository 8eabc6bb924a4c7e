import { existsSync } from 'node:fs'
import { MeshflError } from '@meshfl/core'

/** @throws MeshflError `MODEL_FILE_EXISTS` when there is something at the path, unless it may be replaced */
export function refuseExisting(path: string, force: boolean | undefined): void {
  if (force || !existsSync(path)) return
  throw new MeshflError('MODEL_FILE_EXISTS', `${path} is there already`, {
    kind: 'usage',
    hint: 'choose another --out, or replace it with --force',
  })
}
