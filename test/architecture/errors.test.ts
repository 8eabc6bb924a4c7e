import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

function codesInSources(pattern: RegExp): Set<string> {
  const codes = new Set<string>()
  for (const top of ['packages', 'cli']) {
    for (const entry of readdirSync(join(root, top), { withFileTypes: true, recursive: true })) {
      const file = join(entry.parentPath, entry.name)
      if (!entry.isFile() || !/[\\/]src[\\/]/.test(file) || /\.test\.tsx?$/.test(file) || !/\.tsx?$/.test(file))
        continue
      if (/node_modules|[\\/]dist[\\/]/.test(file)) continue
      for (const [, code] of readFileSync(file, 'utf8').matchAll(pattern)) codes.add(code!)
    }
  }
  return codes
}

const THROWN = /new MeshflError\(\s*'([A-Z0-9_]+)'/g
/** Codes that reach the error through a variable stand somewhere as a string. */
const QUOTED = /'([A-Z][A-Z0-9_]+)'/g

function documentedCodes(): string[] {
  return [...readFileSync(join(root, 'docs/errors.md'), 'utf8').matchAll(/^### ([A-Z0-9_]+)$/gm)].map(
    ([, code]) => code!,
  )
}

test('every error code has its heading in docs/errors.md', () => {
  const documented = new Set(documentedCodes())
  expect([...codesInSources(THROWN)].filter((code) => !documented.has(code)).sort()).toEqual([])
})

test('docs/errors.md has a code once, and no code that nothing throws', () => {
  const documented = documentedCodes()
  expect(documented.length).toBe(new Set(documented).size)
  const sources = [...codesInSources(QUOTED)]
  expect(documented.filter((code) => !sources.includes(code))).toEqual([])
})

test('docs/errors.md lists the codes of each section in alphabetical order', () => {
  const sections = readFileSync(join(root, 'docs/errors.md'), 'utf8').split(/^## /m).slice(1)
  for (const section of sections) {
    const codes = [...section.matchAll(/^### ([A-Z0-9_]+)$/gm)].map(([, code]) => code)
    expect(codes).toEqual([...codes].sort())
  }
})
