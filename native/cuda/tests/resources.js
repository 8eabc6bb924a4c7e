// Registers, shared memory and spills of every kernel as ptxas reports them, a Markdown table for each architecture:
//   node native/cuda/tests/resources.js 90 80        needs nvcc and c++filt
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const kernels = join(dirname(fileURLToPath(import.meta.url)), '../kernels')

/** What ptxas says of one file. */
function report(file, architecture, folder) {
  const args = ['-std=c++17', '-O3', `-arch=sm_${architecture}`, '-Xptxas', '-v', '-c', join(kernels, file)]
  const { status, stderr } = spawnSync('nvcc', [...args, '-o', join(folder, 'object.o')], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`nvcc failed on ${file}: ${stderr}`)
  return execFileSync('c++filt', { input: stderr, encoding: 'utf8' })
}

/** [{ kernel, registers, spills, shared }] */
function parse(text) {
  return text
    .split('Compiling entry function')
    .slice(1)
    .map((part) => {
      const number = (pattern) => Number(pattern.exec(part)?.[1] ?? 0)
      const name = part
        .slice(0, part.indexOf('\n'))
        .replaceAll('(anonymous namespace)::', '')
        .replaceAll('mfl::cuda::', '')
        .replaceAll(/\((?:int|bool|unsigned int|Compiled)\)/g, '')
      return {
        kernel: /'(?:void )?([^(]*)/.exec(name)[1],
        registers: number(/Used (\d+) registers/),
        spills: number(/(\d+) bytes spill stores/) + number(/(\d+) bytes spill loads/),
        shared: number(/(\d+) bytes smem/),
      }
    })
}

const folder = mkdtempSync(join(tmpdir(), 'meshfl-resources-'))
try {
  for (const architecture of process.argv.slice(2)) {
    process.stdout.write(
      `\nsm_${architecture}\n\n| kernel | registers | spilled bytes | static shared bytes |\n|---|---|---|---|\n`,
    )
    for (const file of readdirSync(kernels).filter((name) => name.endsWith('.cu'))) {
      for (const { kernel, registers, spills, shared } of parse(report(file, architecture, folder))) {
        process.stdout.write(`| ${kernel} | ${registers} | ${spills} | ${shared} |\n`)
      }
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
