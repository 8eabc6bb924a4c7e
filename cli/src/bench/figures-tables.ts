import { formatBytes } from '@meshfl/core'
import type { BenchResult } from './bench-case.js'
import { describeMachine, entrantName, formatSeconds } from './describe-bench.js'
import type { BenchFile } from './report-bench.js'

/** One figure a case and entrant: the last of them, and a measured one before one that was skipped. */
export function latestOf(results: readonly BenchResult[]): BenchResult[] {
  const latest = new Map<string, BenchResult>()
  for (const result of results) {
    const key = [result.case, result.grid, result.channels, result.threads, entrantName(result)].join()
    if (result.medianSeconds !== undefined || latest.get(key)?.medianSeconds === undefined) latest.set(key, result)
  }
  return [...latest.values()]
}

/**
 * Tables of seconds by case and entrant, one of what the largest grid takes, and where it was measured.
 * @param brief the fewest channels alone, and no more than seconds
 */
export function figuresTables(files: readonly BenchFile[], brief = false): string {
  const results = latestOf(files.flatMap((file) => file.results))
  const measured = results.filter(({ medianSeconds }) => medianSeconds !== undefined)
  const channels = distinct(results.map((result) => result.channels)).sort((a, b) => a - b)
  const machines = distinct(files.map(({ machine }) => describeMachine(machine)))
  const largest = Math.max(...measured.filter((result) => result.channels === channels[0]).map(({ grid }) => grid[0]))
  return [
    ...channels.slice(0, brief ? 1 : undefined).map((count) => secondsTable(results, count)),
    ...(brief
      ? []
      : [detailTable(measured.filter(({ grid, channels: count }) => grid[0] === largest && count === channels[0]))]),
    `Measured on:\n\n${machines.map((text) => `- ${text}`).join('\n')}\n`,
  ].join('\n')
}

function secondsTable(results: readonly BenchResult[], channels: number): string {
  const those = results.filter((result) => result.channels === channels)
  const entrants = distinct(those.filter(({ medianSeconds }) => medianSeconds !== undefined).map(entrantName))
  const cases = distinct(
    [...those]
      .sort((a, b) => a.grid[0] - b.grid[0] || a.case.localeCompare(b.case))
      .map(({ grid, case: task }) => `${grid[0]}^3 ${task === 'step' ? 'training step' : task}`),
  )
  const cell = (name: string, entrant: string): string => {
    const found = those.find((one) => {
      const task = one.case === 'step' ? 'training step' : one.case
      return `${one.grid[0]}^3 ${task}` === name && entrantName(one) === entrant
    })
    return found?.medianSeconds === undefined ? '' : formatSeconds(found.medianSeconds)
  }
  return table(
    [`${channels} channels, seconds`, ...entrants],
    cases.map((name) => [name, ...entrants.map((entrant) => cell(name, entrant))]),
  )
}

function detailTable(results: readonly BenchResult[]): string {
  const rows = results.map((result) => [
    `${result.grid[0]}^3 ${result.case === 'step' ? 'training step' : result.case}`,
    `${entrantName(result)}${result.instructionSet ? ` (${result.instructionSet})` : ''}`,
    formatSeconds(result.medianSeconds!),
    result.spread!.map(formatSeconds).join(' to '),
    String(result.runs),
    result.gflops!.toFixed(0),
    result.shareOfPeak === undefined ? '' : `${(100 * result.shareOfPeak).toFixed(0)} %`,
    `${formatBytes(result.peakBytes!)} (${result.memory})`,
  ])
  return table(['', 'engine', 'seconds', 'spread', 'runs', 'GFLOP/s', 'of the peak', 'memory'], rows)
}

const table = (heading: readonly string[], rows: readonly (readonly string[])[]): string =>
  [heading, heading.map((_, i) => (i < 1 ? '---' : '--:')), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n') +
  '\n'

const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)]
