import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { viewSource } from './view-source.js'

const folder = mkdtempSync(join(tmpdir(), 'meshfl-view-source-'))

function folderWith(name: string, ...files: string[]): string {
  const path = join(folder, name)
  mkdirSync(path)
  for (const file of files) writeFileSync(join(path, file), '')
  return path
}

test('a run, a dataset and a scan are told apart', () => {
  const dataset = folderWith('dataset', 'dataset.json', 'scan.nii')
  expect(viewSource(dataset)).toEqual({ kind: 'dataset', path: dataset })
  expect(viewSource(join(dataset, 'dataset.json'))).toEqual({ kind: 'dataset', path: dataset })
  expect(viewSource(join(dataset, 'scan.nii')).kind).toBe('image')
  for (const file of ['events.jsonl', 'study.yaml']) expect(viewSource(folderWith(file, file)).kind).toBe('run')
  expect(() => viewSource(folderWith('else'))).toThrow('is no run and no dataset')
})

test.skipIf(process.platform === 'win32')(
  'what cannot be looked at is not told as missing (Windows needs a privilege for symbolic links)',
  () => {
    expect(() => viewSource(join(folder, 'gone'))).toThrow('there is no')
    // A link to itself, which unlike a folder without permissions is refused to root, too.
    symlinkSync('loop', join(folder, 'loop'))
    expect(() => viewSource(join(folder, 'loop'))).toThrow('(ELOOP)')
    const dataset = folderWith('locked')
    symlinkSync('dataset.json', join(dataset, 'dataset.json'))
    expect(() => viewSource(dataset)).toThrow('(ELOOP)')
  },
)
