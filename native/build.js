// Builds the native addon where this machine has what that takes: `npm run build:native`. Prints one line with its verdict.
// What is missing is no failure, unless MESHFL_REQUIRE names `cpu`.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { delimiter, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const addon = join(here, 'build/Release/meshfl.node')
const stamp = join(here, 'build/source.sha256')
const required = (process.env.MESHFL_REQUIRE ?? '').split(',').some((word) => word.trim() === 'cpu')

// rustup puts cargo where a shell that has not been restarted does not look.
const env = { ...process.env }
env.PATH = [env.PATH, join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'bin')].join(delimiter)

/** The version that a program prints, or null where there is none. */
function versionOf(program) {
  const { status, stdout } = spawnSync(program, ['--version'], { encoding: 'utf8', env })
  return status === 0 ? stdout.split('\n')[0] : null
}

function sourceSha256() {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch} ${versionOf('cargo')}\0`)
  const files = ['addon', 'include', 'kernels/src']
    .flatMap((folder) => readdirSync(join(here, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(here, join(entry.parentPath, entry.name)))
  for (const path of [...files, 'CMakeLists.txt', 'package.json', 'kernels/Cargo.toml'].sort()) {
    hash.update(`${path}\0`).update(readFileSync(join(here, path)))
  }
  return hash.digest('hex')
}

function verdict(built, why) {
  process.stdout.write(`native cpu engine: ${why}\n`)
  if (!built && required) process.exitCode = 1
}

function missingTools() {
  const compilers = [process.env.CXX, 'c++', 'g++', 'clang++'].filter(Boolean)
  const missing = []
  if (!versionOf('cmake')) missing.push('cmake')
  if (process.platform !== 'win32' && !compilers.some(versionOf)) missing.push('a C++ compiler')
  if (!versionOf('cargo')) missing.push('cargo (https://rustup.rs)')
  return missing
}

function build() {
  const missing = missingTools()
  if (missing.length > 0) return verdict(false, `not built: there is no ${missing.join(', no ')}; wasm serves`)
  const source = sourceSha256()
  if (existsSync(addon) && existsSync(stamp) && readFileSync(stamp, 'utf8') === source)
    return verdict(true, 'up to date')
  const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/package.json')
  const started = Date.now()
  try {
    const args = [join(dirname(cmakeJs), 'bin/cmake-js'), 'compile', '--directory', here, '--config', 'Release']
    execFileSync(process.execPath, args, { cwd: here, env, stdio: 'pipe', encoding: 'utf8' })
  } catch (error) {
    const log = join(here, 'build/failure.log')
    mkdirSync(dirname(log), { recursive: true })
    writeFileSync(log, `${error.stdout ?? ''}${error.stderr ?? ''}${error.message}\n`)
    return verdict(false, `not built: the build failed, see ${relative(process.cwd(), log)}; wasm serves`)
  }
  writeFileSync(stamp, source)
  verdict(true, `built in ${Math.round((Date.now() - started) / 1000)} s`)
}

build()
