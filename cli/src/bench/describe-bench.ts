import { formatBytes } from '@meshfl/core'
import type { BenchResult } from './bench-case.js'
import type { BenchMachine } from './measure-machine.js'

/** Seconds with three digits. */
export const formatSeconds = (seconds: number): string =>
  seconds >= 100 ? seconds.toFixed(0) : seconds.toPrecision(3).replace(/e-\d+$/, '')

/** What computed: `cpu`, `cpu bf16`, `cpu in 2.00 GB`, `pytorch, a checkpoint a layer`. */
export function entrantName({ engine, precision, maxMemoryBytes, checkpointing }: BenchResult): string {
  const bf16 = precision === 'bf16' ? ' bf16' : ''
  const within = maxMemoryBytes === undefined ? '' : ` within ${formatBytes(maxMemoryBytes)}`
  return `${engine}${bf16}${within}${checkpointing ? ', a checkpoint a layer' : ''}`
}

/** A figure as a line of a table for a terminal. */
export function describeResult(result: BenchResult): string {
  const { grid, channels, medianSeconds, spread, peakBytes, memory, gflops, shareOfPeak } = result
  const what = `${grid[0]}^3 x ${channels} ${result.case}`.padEnd(20) + entrantName(result).padEnd(32)
  if (medianSeconds === undefined || !spread) return `${what}skipped: ${result.skipped}`
  const seconds = `${formatSeconds(medianSeconds)} s (${spread.map(formatSeconds).join(' to ')})`.padEnd(28)
  const rate = `${gflops!.toFixed(0)} GFLOP/s${shareOfPeak === undefined ? '' : `, ${(100 * shareOfPeak).toFixed(0)} % of peak`}`
  return `${what}${seconds}${rate.padEnd(28)}${formatBytes(peakBytes!)} (${memory})`
}

/** Where it was measured, in one sentence. */
export function describeMachine(machine: BenchMachine): string {
  const { processor, cores, memoryBytes, platform, node, version, commit, threads, peakGflops, copyGigabytes } = machine
  const peak =
    peakGflops === null ? 'multiply-adds not measured' : `multiply-adds ${peakGflops.toFixed(0)} GFLOP/s in fp32`
  return (
    `${processor}, ${cores} cores, ${formatBytes(memoryBytes)}, ${platform}; node ${node}, meshfl ${version}` +
    `${commit === null ? '' : ` at ${commit}`}; ${threads} ${threads === 1 ? 'thread' : 'threads'}: ${peak}, copying ${copyGigabytes.toFixed(0)} GB/s`
  )
}
