// Builds packages/engine/wasm/*.wasm from this crate: `npm run build:wasm`.
//
// Threads in WebAssembly need a `core` that was compiled with atomics, so it is built too (-Zbuild-std). That takes the standard
// library's source: `rustup component add rust-src`, or Debian's packages rustc-web and rust-web-src. RUSTC names another compiler.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const crate = dirname(fileURLToPath(import.meta.url))
const out = join(crate, '../../packages/engine/wasm')

const VARIANTS = {
  'meshfl-simd128.wasm': '+simd128',
  'meshfl-relaxed.wasm': '+simd128,+relaxed-simd',
}

/** What the hash in source.json covers: the crate and this script, by path. */
export function sourceSha256() {
  const hash = createHash('sha256')
  const sources = readdirSync(join(crate, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(crate, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
  for (const path of [...sources, 'Cargo.toml', 'build-wasm.js'].sort()) {
    const bytes = readFileSync(join(crate, path))
    hash.update(`${path}\0${bytes.length}\0`).update(bytes)
  }
  return hash.digest('hex')
}

function findCompiler() {
  for (const rustc of [process.env.RUSTC, 'rustc', '/usr/bin/rustc']) {
    if (!rustc) continue
    try {
      const sysroot = execFileSync(rustc, ['--print', 'sysroot'], { encoding: 'utf8' }).trim()
      const library = join(sysroot, 'lib/rustlib/src/rust/library')
      if (existsSync(join(library, 'core/src/lib.rs'))) return { rustc, sysroot, library }
    } catch (error) {
      if (error.code !== 'ENOENT') throw error
    }
  }
  throw new Error(
    'no Rust compiler with the source of its standard library: rustup component add rust-src, or apt-get install rustc-web rust-web-src',
  )
}

function findLinker(sysroot) {
  const toolchains = join(homedir(), '.rustup/toolchains')
  const homes = [
    sysroot,
    ...(existsSync(toolchains) ? readdirSync(toolchains).map((name) => join(toolchains, name)) : []),
  ]
  for (const home of homes) {
    const targets = join(home, 'lib/rustlib')
    for (const target of existsSync(targets) ? readdirSync(targets) : []) {
      const linker = join(targets, target, 'bin/rust-lld')
      if (existsSync(linker)) return linker
    }
  }
  return 'wasm-ld'
}

function build() {
  const { rustc, sysroot, library } = findCompiler()
  const vendor = join(library, 'vendor')
  const offline = existsSync(vendor)
    ? [
        '--offline',
        '--config=source.crates-io.replace-with="standard-library"',
        `--config=source.standard-library.directory=${JSON.stringify(vendor)}`,
      ]
    : []
  const remap = [
    [homedir(), '/home'],
    [sysroot, '/rust'],
    [crate, '/kernels'],
  ]
  const wasm = {}
  mkdirSync(out, { recursive: true })
  for (const [name, features] of Object.entries(VARIANTS)) {
    const target = join(crate, 'target', name.replace('.wasm', ''))
    const flags = [
      `-Clinker=${findLinker(sysroot)}`,
      '-Clinker-flavor=wasm-ld',
      `-Ctarget-feature=${features},+atomics,+bulk-memory,+mutable-globals`,
      '-Zlocation-detail=none',
      // Loop strength reduction turns the constant offsets of loads into additions.
      '-Cllvm-args=-disable-lsr',
      ...remap.map(([from, to]) => `--remap-path-prefix=${from}=${to}`),
      ...['--shared-memory', '--import-memory', '--max-memory=4294967296', '--strip-all'].map(
        (arg) => `-Clink-arg=${arg}`,
      ),
      ...['__stack_pointer', '__heap_base'].map((symbol) => `-Clink-arg=--export=${symbol}`),
      '-Clink-arg=-zstack-size=262144',
    ]
    const args = ['rustc', '--release', '--lib', '--crate-type=cdylib', '--target=wasm32-unknown-unknown']
    args.push(
      `--target-dir=${target}`,
      '-Zbuild-std=core,compiler_builtins',
      '-Zbuild-std-features=compiler-builtins-mem',
    )
    execFileSync('cargo', [...args, ...offline], {
      cwd: crate,
      stdio: 'inherit',
      env: {
        ...process.env,
        RUSTC: rustc,
        RUSTC_BOOTSTRAP: '1',
        CARGO_ENCODED_RUSTFLAGS: flags.join('\x1f'),
      },
    })
    copyFileSync(join(target, 'wasm32-unknown-unknown/release/meshfl_kernels.wasm'), join(out, name))
    wasm[name] = createHash('sha256')
      .update(readFileSync(join(out, name)))
      .digest('hex')
  }
  const version = execFileSync(rustc, ['--version'], { encoding: 'utf8' }).trim()
  const source = { sourceSha256: sourceSha256(), rustc: version, wasm }
  writeFileSync(join(out, 'source.json'), `${JSON.stringify(source, null, 2)}\n`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) build()
