import { existsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { checkWritable, MeshflError, writeFileAtomic } from '@meshfl/core'
import type { BenchResult } from './bench-case.js'
import type { BenchMachine } from './measure-machine.js'

/**
 * Looks whether a file of figures could be written, before the hours that they take.
 * @throws MeshflError `PATH_NOT_WRITABLE`, `FILE_SERVER_AWAY`
 */
export function checkFiguresFile(path: string): void {
  checkWritable(dirname(path))
  if (existsSync(path) && statSync(path).isDirectory()) {
    throw new MeshflError('PATH_NOT_WRITABLE', `cannot write ${path}: it is a folder`, {
      hint: 'name a file, such as figures.json in that folder',
      data: { path },
    })
  }
}

/** Writes the figures so far, which whoever reads the file meanwhile sees whole. */
export const writeFigures = (path: string, machine: BenchMachine, results: readonly BenchResult[]): Promise<void> =>
  writeFileAtomic(path, `${JSON.stringify({ machine, results }, null, 2)}\n`)
