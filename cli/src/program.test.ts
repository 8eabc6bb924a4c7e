import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { buildProgram } from './program.js'

test('the start of every command, --help too, loads nothing but commander and the names of options', () => {
  const packages = new Set<string>()
  const seen = new Set<string>()
  const visit = (url: URL): void => {
    if (seen.has(url.href)) return
    seen.add(url.href)
    // Of an import of types nothing is left when it runs.
    for (const [, from] of readFileSync(url, 'utf8').matchAll(/^import (?!type )[^;]*? from '([^']+)'$/gm)) {
      if (from!.startsWith('.')) visit(new URL(from!.replace(/\.js$/, '.ts'), url))
      else if (!from!.startsWith('node:')) packages.add(from!)
    }
  }
  visit(new URL('program.ts', import.meta.url))
  expect(seen.size).toBeGreaterThan(10)
  expect([...packages]).toEqual(['commander'])
})

test('an option behind a subcommand is the subcommand’s, also where the command above has one of that name', async () => {
  const program = buildProgram()
  const bench = program.commands.find((command) => command.name() === 'bench')!
  const federation = bench.commands.find((command) => command.name() === 'federation')!
  let options: Record<string, unknown> = {}
  federation.action((given) => {
    options = given
  })
  await program.parseAsync(['node', 'meshfl', 'bench', 'federation', '--sites', '2', '--json'])
  expect(options).toMatchObject({ sites: [2], json: true })
})
