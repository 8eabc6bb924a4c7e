// Joins what tsc has built, and the libraries that it imports, to the few files of cli/dist that are run: Node takes longer to find
// and read several hundred modules than most commands take to answer. Part of `npm run build`, and of every run of the tests.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const here = fileURLToPath(new URL('.', import.meta.url))
const dist = join(here, 'dist')

/** The command line, and the process that `meshfl bench federation` and the tests start. */
const ENTRIES = { bin: 'build/bin.js', 'federation-process': 'build/bench-federation/federation-process.js' }

async function bundle() {
  const built = await rolldown({
    cwd: here,
    input: ENTRIES,
    platform: 'node',
    // Native code, which is found from where its JavaScript lies; and what ink asks for where it is there.
    external: ['zeromq', 'react-devtools-core'],
    // Without React's checks for who develops with it.
    transform: { define: { 'process.env.NODE_ENV': '"production"' } },
    onLog(level, log) {
      // What one command imports when it needs it, another may have at once.
      if (level === 'warn' && log.code !== 'INEFFECTIVE_DYNAMIC_IMPORT') throw new Error(log.message)
    },
  })
  const { output } = await built.generate({
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
  })
  await built.close()
  const files = new Map(output.map((file) => [file.fileName, file.type === 'chunk' ? file.code : file.source]))
  files.set('THIRD-PARTY-LICENSES.txt', licencesOf(output.flatMap((file) => file.moduleIds ?? [])))
  write(files)
}

/** The licence texts of the libraries whose code is in the bundle, which most of them ask for. */
function licencesOf(modules) {
  const folders = new Set(modules.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(id) ?? []))
  const texts = [...folders].map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const file = readdirSync(folder).find((one) => /^(licen[cs]e|copying)(\.|$)/i.test(one))
    const text = file === undefined ? `Licence: ${license}` : readFileSync(join(folder, file), 'utf8').trim()
    return `${name} ${version}\n\n${text}\n`
  })
  return texts.sort().join(`\n${'-'.repeat(80)}\n\n`)
}

/** Touches only what has changed: a command that is running may yet import the others. */
function write(files) {
  mkdirSync(dist, { recursive: true })
  for (const [name, content] of files) {
    const path = join(dist, name)
    if (existsSync(path) && readFileSync(path, 'utf8') === content) continue
    writeFileSync(`${path}.new`, content, { mode: name === 'bin.js' ? 0o755 : 0o644 })
    renameSync(`${path}.new`, path)
  }
  for (const name of readdirSync(dist)) if (!files.has(name)) rmSync(join(dist, name), { recursive: true })
}

await bundle()
