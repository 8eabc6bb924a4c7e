import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MeshflEvent } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { figureFilesOf, openFigureFiles } from './figure-files.js'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})
function temporaryFolder(): string {
  folders.push(mkdtempSync(join(tmpdir(), 'meshfl-figures-')))
  return folders.at(-1)!
}

const time = '2026-01-02T03:04:05.000Z'
const classNames = ['background', 'white, matter']
const dice = (value: number) => ({ perClass: { background: 0.9, 'white, matter': value }, foregroundDice: value })
const round = (number: number): MeshflEvent[] => [
  {
    ...{ type: 'site-trained', time, site: 'site-1', round: number, loss: -0.5, dice: dice(0.25) },
    ...{ samples: 9, seconds: 1.5, updateSha256: '' },
  } as MeshflEvent,
  { type: 'site-evaluated', time, site: 'site-1', round: number, loss: null, dice: dice(0.5), cases: 2 },
  {
    ...{ type: 'round-finished', time, round: number, rounds: 2, trainLoss: 1, trainDice: dice(0.25), validLoss: 2 },
    ...{ validDice: null, parametersSha256: '', seconds: 3, secondsLeft: null },
  } as MeshflEvent,
]
const options = (folder: string, past: MeshflEvent[] = []) => ({
  ...{ folder, classNames, past },
  onFailed: (error: unknown) => {
    throw error
  },
})

test('a line of metrics.csv is a site or the global model in a round, with a column a class', () => {
  const folder = temporaryFolder()
  const files = openFigureFiles(options(folder))
  round(1).forEach(files.write)
  files.close()
  expect(readFileSync(join(folder, 'metrics.csv'), 'utf8')).toBe(
    [
      'time,round,site,phase,loss,foreground_dice,samples,seconds,dice background,"dice white, matter"',
      `${time},1,site-1,train,-0.5,0.25,9,1.5,0.9,0.25`,
      `${time},1,site-1,valid,,0.5,2,,0.9,0.5`,
      `${time},1,,train,1,0.25,,3,0.9,0.25`,
      `${time},1,,valid,2,,,,,`,
      '',
    ].join('\n'),
  )
})

test.each([3, 300])('the figures of %i sites hold as many files open as is said beforehand', (sites) => {
  const folder = temporaryFolder()
  const files = openFigureFiles(options(folder))
  const [trained, , finished] = round(1)
  for (let site = 1; site <= sites; site++) files.write({ ...trained, site: `site-${site}` } as MeshflEvent)
  // The whole run's has its place even where there are too many sites.
  files.write(finished!)
  files.close()
  const written = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  expect(written).toHaveLength(figureFilesOf(sites))
  expect(readdirSync(join(folder, 'tensorboard'))).toContain('global')
})

test('whatever a site is called, its folder is one of its own within tensorboard/', () => {
  const folder = temporaryFolder()
  const files = openFigureFiles(options(folder))
  const [trained, , finished] = round(1)
  for (const site of ['../../out', '..', '/etc', 'global', 'Klinik Köln 2'])
    files.write({ ...trained, site } as MeshflEvent)
  files.write(finished!)
  files.close()
  const found = readdirSync(join(folder, 'tensorboard')).map((name) => name.normalize())
  expect(found.sort()).toEqual(['-etc', '..-..-out', 'Klinik Köln 2', 'global', 'site-..', 'site-global'])
  expect(readdirSync(folder).sort()).toEqual(['metrics.csv', 'tensorboard'])
})

test('scores that are told again after a restart are written once', () => {
  const [whole, resumed] = [temporaryFolder(), temporaryFolder()]
  const calm = openFigureFiles(options(whole))
  for (const event of [...round(1), ...round(2)]) calm.write(event)
  calm.close()
  const again = openFigureFiles(options(resumed, [...round(1), ...round(2).slice(0, 2)]))
  for (const event of round(2)) again.write(event)
  again.close()
  expect(readFileSync(join(resumed, 'metrics.csv'), 'utf8')).toBe(readFileSync(join(whole, 'metrics.csv'), 'utf8'))
})

test('what somebody keeps beside our event files stays, and hinders nobody', () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'tensorboard'))
  writeFileSync(join(folder, 'tensorboard', '.DS_Store'), 'theirs')
  openFigureFiles(options(folder)).close()
  expect(readFileSync(join(folder, 'tensorboard', '.DS_Store'), 'utf8')).toBe('theirs')
})

test('a run that goes on has the same files as one that was not interrupted', () => {
  const [whole, resumed] = [temporaryFolder(), temporaryFolder()]
  const first = openFigureFiles(options(whole))
  for (const event of [...round(1), ...round(2)]) first.write(event)
  first.close()
  const before = openFigureFiles(options(resumed))
  for (const event of round(1).slice(0, 2)) before.write(event)
  before.close()
  writeFileSync(join(resumed, 'metrics.csv'), 'half a li', { flag: 'a' })
  const after = openFigureFiles(options(resumed, round(1)))
  round(2).forEach(after.write)
  after.close()
  const files = readdirSync(whole, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const read = (folder: string) =>
    files.map(({ parentPath, name }) => readFileSync(join(parentPath.replace(whole, folder), name)))
  expect(files.map(({ parentPath }) => parentPath.replace(whole, '')).sort()).toEqual([
    '',
    '/tensorboard/global',
    '/tensorboard/site-1',
  ])
  expect(read(resumed)).toEqual(read(whole))
})

test('files that cannot be written are said once, and the run goes on', () => {
  const folder = temporaryFolder()
  mkdirSync(join(folder, 'metrics.csv'))
  const failures: unknown[] = []
  const files = openFigureFiles({ ...options(folder, round(1)), onFailed: (error) => failures.push(error) })
  round(2).forEach(files.write)
  files.close()
  expect(failures).toMatchObject([{ code: 'PATH_NOT_WRITABLE' }])
})
