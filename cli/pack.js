#!/usr/bin/env node
// Packs the command line with everything it needs into one meshfl-<version>.tgz that installs without a network:
//   node cli/pack.js [folder]      then, elsewhere:  npm install ./meshfl-<version>.tgz
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const target = resolve(process.argv[2] ?? '.')
const work = mkdtempSync(join(tmpdir(), 'meshfl-pack-'))
const stage = join(work, 'meshfl')

try {
  execFileSync(process.execPath, [join(root, 'cli/bundle.js')])
  // A plain node_modules folder with the production dependencies, the rooms of this workspace among them.
  execFileSync(
    process.execPath,
    [
      join(root, 'node_modules/pnpm/bin/pnpm.cjs'),
      ...[
        '--filter',
        'meshfl',
        'deploy',
        '--legacy',
        '--prod',
        '--prefer-offline',
        '--config.node-linker=hoisted',
        '--config.package-import-method=copy',
        stage,
      ],
    ],
    { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] },
  )
  // npm bundles what package.json names and what that needs, in the versions that pnpm deployed from the lockfile.
  const manifest = pinDependencies(stage, (name) => join(stage, 'node_modules', name))
  for (const room of readdirSync(join(stage, 'node_modules/@meshfl'))) {
    pinDependencies(join(stage, 'node_modules/@meshfl', room), (name) => join(stage, 'node_modules', name))
  }
  writeFileSync(
    join(stage, 'package.json'),
    `${JSON.stringify({ ...manifest, bundleDependencies: Object.keys(manifest.dependencies) }, null, 2)}\n`,
  )
  const superseded = Object.keys(JSON.parse(readFileSync(join(root, 'cli/build/superseded.json'), 'utf8')))
  for (const name of superseded) rmSync(join(stage, 'dist', name), { recursive: true, force: true })
  copyFileSync(join(root, 'LICENSE'), join(stage, 'LICENSE'))
  mkdirSync(target, { recursive: true })
  const name = execFileSync('npm', ['pack', '--silent', '--pack-destination', target], {
    cwd: stage,
    encoding: 'utf8',
  }).trim()
  process.stdout.write(`${join(target, name)}\n`)
} finally {
  rmSync(work, { recursive: true, force: true })
}

/** Replaces `workspace:*` and ranges by the versions at hand; npm does not understand the former. */
function pinDependencies(folder, locate) {
  const file = join(folder, 'package.json')
  const manifest = JSON.parse(readFileSync(file, 'utf8'))
  for (const name of Object.keys(manifest.dependencies ?? {})) {
    manifest.dependencies[name] = JSON.parse(readFileSync(join(locate(name), 'package.json'), 'utf8')).version
  }
  rmSync(file) // pnpm links the workspace's own files: writing into one would change the repository's
  writeFileSync(file, `${JSON.stringify(manifest, null, 2)}\n`)
  return manifest
}
