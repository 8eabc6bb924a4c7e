// Joins what tsc has built, and the libraries that it imports, to the few files of cli/dist that are run: Node takes longer to find
// and read several hundred modules than most commands take to answer. Part of `npm run build`, and of every run of the tests.
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const here = fileURLToPath(new URL('.', import.meta.url))
const dist = join(here, 'dist')
/** When files of `dist` were first found in no bundle any more; beside it, for it is packed as it is. */
const SUPERSEDED = join(here, 'build', 'superseded.json')
const KEPT_MS = 7 * 24 * 3600 * 1000

/** The command line, and the process that `meshfl bench federation` and the tests start. */
const ENTRIES = { bin: 'build/bin.js', 'federation-process': 'build/bench-federation/federation-process.js' }
/** The scripts of `meshfl view`, for a browser, under the names by which `cli/src/viewer-scripts.ts` finds them. */
const PAGE_ENTRY = { 'viewer-page': '../packages/viewer/dist/page/viewer-page.js' }
/** Of what ships no licence text: where we keep the one of its repository. */
const KEPT_LICENCES = { '@niivue/niivue': '../packages/viewer/licences/niivue.txt' }

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
  const all = [...output, ...(await bundlePage())]
  const files = new Map(all.map((file) => [file.fileName, file.type === 'chunk' ? file.code : file.source]))
  files.set('THIRD-PARTY-LICENSES.txt', licencesOf(all.flatMap((file) => file.moduleIds ?? [])))
  write(files)
}

/** The page's own script, and NiiVue with what it needs, which a page without volumes does not load. */
async function bundlePage() {
  const built = await rolldown({
    cwd: here,
    input: PAGE_ENTRY,
    platform: 'browser',
    // Volumes come as NIfTI: nothing is read from the stores of chunks that it is for, nor with their decoders.
    resolve: { alias: { zarrita: fileURLToPath(new URL('../packages/viewer/no-zarr.js', import.meta.url)) } },
    onLog(level, log) {
      // NiiVue asks for the parts of zarrita by name, in code that is not reached.
      if (level === 'warn' && log.code !== 'IMPORT_IS_UNDEFINED') throw new Error(log.message)
    },
  })
  const { output } = await built.generate({
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: 'viewer-[name].js',
    minify: true,
  })
  await built.close()
  return output
}

/** The licence texts of the libraries whose code is in the bundle, which most of them ask for. */
function licencesOf(modules) {
  const inPackage = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/
  const folders = new Set(modules.flatMap((id) => inPackage.exec(id.replaceAll('\\', '/')) ?? []))
  if (folders.size === 0) throw new Error('no library was found in the bundle, so that no licence would be packed')
  const texts = [...folders].map((folder) => {
    const { name, version, license, author } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const files = readdirSync(folder).filter((one) => /^(licen[cs]e|copying|notice)/i.test(one))
    const by = typeof author === 'string' ? author : author?.name
    const found = files.map((file) => readFileSync(join(folder, file), 'utf8').trim())
    if (KEPT_LICENCES[name]) found.push(readFileSync(join(here, KEPT_LICENCES[name]), 'utf8').trim())
    if (found.length === 0) found.push(`Licence: ${license}${by ? `, by ${by}` : ''}`)
    return `${name} ${version}\n\n${found.join('\n\n')}\n`
  })
  return texts.sort().join(`\n${'-'.repeat(80)}\n\n`)
}

/**
 * Entries come last, for they name the others. What is in no file of the bundle any more stays for a week: a command that is
 * running may yet import it, and one that has scored cases for hours loads what writes the report only then.
 */
function write(files) {
  mkdirSync(dist, { recursive: true })
  const isEntry = ([name]) => Object.hasOwn(ENTRIES, name.replace(/\.js$/, ''))
  for (const [name, content] of [...files].sort((a, b) => isEntry(a) - isEntry(b))) {
    const path = join(dist, name)
    if (!existsSync(path) || readFileSync(path, 'utf8') !== content) replace(path, content)
  }
  chmodSync(join(dist, 'bin.js'), 0o755)
  const before = existsSync(SUPERSEDED) ? JSON.parse(readFileSync(SUPERSEDED, 'utf8')) : {}
  const superseded = {}
  for (const name of readdirSync(dist)) {
    if (files.has(name)) continue
    const since = before[name] ?? Date.now()
    if (Date.now() - since < KEPT_MS) superseded[name] = since
    else rmSync(join(dist, name), { recursive: true, force: true })
  }
  replace(SUPERSEDED, JSON.stringify(superseded))
}

/** At once, under a name of this process until then: two may bundle at the same time. */
function replace(path, content) {
  const fresh = `${path}.${process.pid}.new`
  writeFileSync(fresh, content)
  renameSync(fresh, path)
}

await bundle()
