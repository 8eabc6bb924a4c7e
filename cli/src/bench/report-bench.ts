import { readFile } from 'node:fs/promises'
import { MeshflError, writeFileAtomic } from '@meshfl/core'
import type { BenchResult } from './bench-case.js'
import { figuresTables } from './figures-tables.js'
import type { BenchMachine } from './measure-machine.js'
import { plotFigures } from './plot-figures.js'

export interface BenchFile {
  machine: BenchMachine
  results: BenchResult[]
}

/** `summary`: the table of the fewest channels, and where it was measured. */
const BEGIN = /<!-- bench:begin( summary)? -->/
const END = '<!-- bench:end -->'

/**
 * Figures of result files as Markdown; of two for the same case the later file's stands.
 * @param into Markdown files whose figures are replaced
 * @throws MeshflError `BENCH_RESULT_MALFORMED`, `FILE_NOT_FOUND`
 */
export async function reportBench(request: {
  files: readonly string[]
  into: readonly string[]
  plot: string | undefined
}): Promise<string> {
  const files = await Promise.all(request.files.map(readResults))
  const markdown = figuresTables(files)
  for (const path of request.into) {
    const text = await read(path)
    const [begin, end] = [BEGIN.exec(text), text.indexOf(END)]
    if (begin === null || end < begin.index) throw malformed(`${path} has no lines <!-- bench:begin --> and ${END}`)
    const figures = begin[1] ? figuresTables(files, true) : markdown
    const before = text.slice(0, begin.index + begin[0].length)
    await writeFileAtomic(path, `${before}\n\n${figures}\n${text.slice(end)}`)
  }
  if (request.plot !== undefined)
    await writeFileAtomic(request.plot, plotFigures(files.flatMap(({ results }) => results)))
  return markdown
}

async function readResults(path: string): Promise<BenchFile> {
  const text = await read(path)
  try {
    const file = JSON.parse(text) as BenchFile
    if (file.machine.type !== 'bench-machine' || !file.results.every(({ type }) => type === 'bench')) throw new Error()
    return file
  } catch {
    throw malformed(`${path} holds no figures`)
  }
}

async function read(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause) => {
    throw new MeshflError('FILE_NOT_FOUND', `cannot read ${path}`, { hint: 'check the path', cause })
  })
}

const malformed = (message: string): MeshflError =>
  new MeshflError('BENCH_RESULT_MALFORMED', message, {
    kind: 'usage',
    hint: 'give files that meshfl bench --out wrote',
  })
