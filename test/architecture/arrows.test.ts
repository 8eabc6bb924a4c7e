import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** docs/architecture.md, as data: who may import whom. A room may also import what the rooms it may import may. */
const ARROWS: Record<string, string[]> = {
  core: [],
  volume: ['core'],
  dataset: ['volume'],
  engine: ['core'],
  evaluation: ['volume'],
  training: ['engine', 'dataset', 'evaluation'],
  federation: ['core'],
  interchange: ['engine'],
  reach: ['core'],
  telemetry: ['core'],
  terminal: ['core'],
  viewer: ['volume'],
  testkit: ['engine', 'federation'],
}

function reachable(room: string): Set<string> {
  const found = new Set<string>()
  const visit = (name: string): void => {
    for (const next of ARROWS[name] ?? []) {
      if (found.has(next)) continue
      found.add(next)
      visit(next)
    }
  }
  visit(room)
  return found
}

function workspaceDependencies(folder: string): string[] {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  // Tests may use the testkit, whose users are tests alone.
  const { '@meshfl/testkit': _, ...tests } = manifest.devDependencies ?? {}
  return Object.keys({ ...manifest.dependencies, ...tests })
    .filter((name) => name.startsWith('@meshfl/'))
    .map((name) => name.slice('@meshfl/'.length))
}

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
}

const rooms = readdirSync(join(root, 'packages'))

describe('the arrows between rooms', () => {
  test('every package has its place in the architecture', () => {
    expect(rooms.sort()).toEqual(Object.keys(ARROWS).sort())
  })

  test.each(rooms)('%s depends on nothing that its arrows do not allow', (room) => {
    const allowed = reachable(room)
    expect(workspaceDependencies(join(root, 'packages', room)).filter((name) => !allowed.has(name))).toEqual([])
  })

  test.each(rooms)('%s imports only rooms that its package.json names, and no file of another room', (room) => {
    const named = new Set(workspaceDependencies(join(root, 'packages', room)))
    const offences: string[] = []
    for (const file of sourceFiles(join(root, 'packages', room, 'src'))) {
      const isTest = /\.test\.tsx?$/.test(file)
      for (const [, specifier] of readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)) {
        const target = /^@meshfl\/([^/]+)/.exec(specifier!)?.[1]
        if (target && !named.has(target) && !(isTest && (target === 'testkit' || target === room)))
          offences.push(`${file}: ${specifier}`)
        if (/\.\.\/\.\.\/\.\.\//.test(specifier!) && !isTest) offences.push(`${file}: ${specifier}`)
      }
    }
    expect(offences).toEqual([])
  })

  test('only the command line depends on every public package', () => {
    expect(workspaceDependencies(join(root, 'cli')).sort()).toEqual(rooms.filter((room) => room !== 'testkit').sort())
  })
})
