// Builds the native addon where this machine has what that takes: `npm run build:native [-- --only cpu|cuda]`. Prints one line of
// verdict for each part. What is missing is no failure, unless MESHFL_REQUIRE names that part. With --shim: the CUDA part compiled for
// the CPU, in an addon of its own that only tests load.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { delimiter, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const here = dirname(fileURLToPath(import.meta.url))
const { values: options } = parseArgs({ options: { only: { type: 'string' }, shim: { type: 'boolean' } } })
const required = (process.env.MESHFL_REQUIRE ?? '').split(',').map((word) => word.trim())
const architectures = process.env.MESHFL_CUDA_ARCHITECTURES ?? 'auto'

// rustup and CUDA put their programs where a shell that has not been restarted does not look.
const cuda = process.env.CUDA_PATH ?? process.env.CUDA_HOME ?? '/usr/local/cuda'
const cargo = process.env.CARGO_HOME ?? join(homedir(), '.cargo')
const env = { ...process.env }
env.PATH = [env.PATH, join(cargo, 'bin'), join(cuda, 'bin')].join(delimiter)

const PARTS = {
  cpu: { tool: 'cargo', source: 'https://rustup.rs', folders: ['kernels/src'], files: ['kernels/Cargo.toml'] },
  cuda: { tool: 'nvcc', source: "NVIDIA's CUDA toolkit", folders: ['cuda'], files: [] },
}

/** The version that a program prints, or null where there is none. */
function versionOf(program) {
  const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8', env })
  return status === 0
    ? stdout
        .trim()
        .split('\n')
        .at(program === 'nvcc' ? -1 : 0)
    : null
}

/** Of everything that the parts are built from, and with. */
function sourceSha256(parts) {
  const tools = parts.map((part) => versionOf(PARTS[part].tool))
  const chosen = [process.platform, process.arch, ...parts, ...tools, architectures, gpus()]
  const hash = createHash('sha256').update(`${chosen.join(' ')}\0`)
  const files = ['addon', 'include', ...parts.flatMap((part) => PARTS[part].folders)]
    .flatMap((folder) => readdirSync(join(here, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(here, join(entry.parentPath, entry.name)))
  for (const path of [
    ...files,
    ...parts.flatMap((part) => PARTS[part].files),
    'CMakeLists.txt',
    'package.json',
  ].sort()) {
    hash.update(`${path}\0`).update(readFileSync(join(here, path)))
  }
  return hash.digest('hex')
}

/** This machine's GPUs by their capabilities: `auto` compiles for them. */
function gpus() {
  const { status, stdout } = spawnSync('nvidia-smi', ['--query-gpu=compute_cap', '--format=csv,noheader'], {
    encoding: 'utf8',
  })
  return status === 0 ? stdout.trim().split('\n').join(',') : 'none'
}

function verdict(part, built, why) {
  process.stdout.write(`native ${part} engine: ${why}\n`)
  if (!built && required.includes(part)) process.exitCode = 1
}

/** What every part needs. */
function missingTools() {
  const compilers = [process.env.CXX, 'c++', 'g++', 'clang++'].filter(Boolean)
  const missing = []
  if (!versionOf('cmake')) missing.push('cmake')
  if (process.platform !== 'win32' && !compilers.some(versionOf)) missing.push('a C++ compiler')
  return missing
}

/** Builds an addon into a folder. @returns the verdict, and the log of a build that failed */
function compile(folder, source, definitions) {
  const build = join(here, folder)
  const stamp = join(build, 'source.sha256')
  if (existsSync(join(build, 'Release/meshfl.node')) && existsSync(stamp) && readFileSync(stamp, 'utf8') === source)
    return { built: true, why: 'up to date' }
  const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/package.json')
  const flags = Object.entries(definitions).map(([name, value]) => `--CD${name}=${value}`)
  const started = Date.now()
  try {
    // `compile` alone leaves a folder as it was configured once, whatever parts are asked for now.
    for (const command of ['configure', 'build']) {
      const args = [join(dirname(cmakeJs), 'bin/cmake-js'), command, '--directory', here, '--out', build]
      execFileSync(process.execPath, [...args, '--config', 'Release', ...flags], {
        cwd: here,
        env,
        stdio: 'pipe',
        encoding: 'utf8',
      })
    }
  } catch (error) {
    const log = join(build, 'failure.log')
    mkdirSync(build, { recursive: true })
    writeFileSync(log, `${error.stdout ?? ''}${error.stderr ?? ''}${error.message}\n`)
    return { built: false, why: `not built: the build failed, see ${relative(process.cwd(), log)}` }
  }
  writeFileSync(stamp, source)
  return { built: true, why: `built in ${Math.round((Date.now() - started) / 1000)} s` }
}

const definitionsOf = (parts) => ({
  MESHFL_CPU: parts.includes('cpu') ? 'ON' : 'OFF',
  MESHFL_CUDA: parts.includes('cuda') ? 'ON' : 'OFF',
  MESHFL_CUDA_ARCHITECTURES: architectures,
})

function buildParts() {
  const parts = Object.keys(PARTS).filter((part) => options.only === undefined || part === options.only)
  const missing = missingTools()
  const ready = []
  for (const part of parts) {
    const { tool, source } = PARTS[part]
    const lacking = [...missing, ...(versionOf(tool) ? [] : [`${tool} (${source})`])]
    if (lacking.length === 0) ready.push(part)
    else verdict(part, false, `not built: there is no ${lacking.join(', no ')}`)
  }
  if (ready.length === 0) return
  const together = compile('build', sourceSha256(ready), definitionsOf(ready))
  if (together.built || ready.length === 1) {
    for (const part of ready) verdict(part, together.built, together.why)
    return
  }
  // One part that does not compile must not cost the other.
  for (const part of ready) {
    const alone = compile('build', sourceSha256([part]), definitionsOf([part]))
    if (!alone.built) continue
    for (const other of ready) verdict(other, other === part, other === part ? alone.why : together.why)
    return
  }
  for (const part of ready) verdict(part, false, together.why)
}

/** A build that fails is a failure, a missing compiler is none. */
function buildShim() {
  const missing = missingTools()
  if (missing.length > 0) {
    process.stdout.write(`cuda engine for tests: not built: there is no ${missing.join(', no ')}\n`)
    return
  }
  const { built, why } = compile('build/shim', sourceSha256(['cuda']), { MESHFL_CPU: 'OFF', MESHFL_CUDA_SHIM: 'ON' })
  process.stdout.write(`cuda engine for tests: ${why}\n`)
  if (!built) process.exitCode = 1
}

if (options.shim) buildShim()
else buildParts()
