import { Command } from 'commander'
import type { BenchDevice, BenchResult, BenchTask } from '../bench/bench-case.js'
import { MOST_THREADS } from '../engine-options.js'
import { listOf, oneOf, wholeNumber } from '../option-parsers.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'
import { benchFederationCommand } from './bench-federation.js'

interface BenchOptions extends OutputOptions {
  case: BenchTask[]
  device: BenchDevice[]
  precision: ('fp32' | 'bf16')[]
  grid: number[]
  channels: number[]
  maxMemory: string
  threads?: number
  repeats: number
  peers: boolean
  out?: string
  report?: string[]
  into?: string[]
  plot?: string
}

const all = (text: string, before: string[] = []): string[] => [...before, text]

/** `meshfl bench`; other benches are subcommands of it. */
export function benchCommand(): Command {
  return withOutputOptions(
    // What stands behind `federation` is for it.
    new Command('bench')
      .enablePositionalOptions()
      .addCommand(benchFederationCommand().exitOverride())
      .description(
        'Time the engines of this machine, after checking their answers, and PyTorch and onnxruntime beside them where they are installed',
      )
      .option('--case <names>', 'step, forward', listOf(oneOf('step', 'forward')), ['step', 'forward'])
      .option('--device <names>', 'cuda, cpu, wasm', listOf(oneOf('cuda', 'cpu', 'wasm')), ['cpu', 'wasm'])
      .option('--precision <names>', 'fp32, bf16', listOf(oneOf('fp32', 'bf16')), ['fp32'])
      .option('--grid <edges>', 'edges of cubes in voxels', listOf(wholeNumber(1)), [64, 96])
      .option('--channels <numbers>', 'channels of the network, 1 to 64', listOf(wholeNumber(1, 64)), [5])
      .option('--max-memory <amounts>', 'what a step may take: all, 3GB,2GB', 'all')
      .option(
        '--threads <n>',
        `threads, 1 to ${MOST_THREADS}, of the peers too (default: all cores, as far as that)`,
        wholeNumber(1, MOST_THREADS),
      )
      .option('--repeats <n>', 'runs after the warm-up; the median counts', wholeNumber(1), 5)
      .option('--no-peers', 'time the engines alone')
      .option('--out <file>', 'write machine and figures as JSON, anew after every figure')
      .option('--report <file...>', 'measure nothing: print the figures of such files as Markdown', all)
      .option(
        '--into <file...>',
        'with --report: put them into Markdown files, between <!-- bench:begin --> and <!-- bench:end -->',
        all,
      )
      .option('--plot <file>', 'with --report: draw seconds against voxels as SVG')
      .addHelpText(
        'after',
        `
Peers: a python3 that has torch (MESHFL_PYTHON names one), and onnxruntime-node, which is not part of meshfl:
  npm install --ignore-scripts --prefix ./peers onnxruntime-node && export MESHFL_ONNXRUNTIME=./peers

Examples:
  meshfl bench --grid 64,128,256 --out figures.json
  meshfl bench --report figures.json --plot figures.svg`,
      ),
  ).action(async (options: BenchOptions) => {
    await runCommand(options, { title: 'meshfl bench', startsOver: true }, async ({ output, signal }) => {
      if (options.report) {
        const { reportBench } = await import('../bench/report-bench.js')
        const markdown = await reportBench({ files: options.report, into: options.into ?? [], plot: options.plot })
        return output.say(markdown)
      }
      const [
        { mayPass, now, parseBytes },
        { checkFiguresFile, writeFigures },
        { measureMachine },
        { runBench },
        { describeMachine, describeResult },
        { defaultThreads },
      ] = await Promise.all([
        import('@meshfl/core'),
        import('../bench/figures-file.js'),
        import('../bench/measure-machine.js'),
        import('../bench/run-bench.js'),
        import('../bench/describe-bench.js'),
        import('@meshfl/engine'),
      ])
      const memoryLimits = options.maxMemory.split(',').map((text) => (text.trim() === 'all' ? null : parseBytes(text)))
      if (options.out) checkFiguresFile(options.out)
      const threads = options.threads ?? defaultThreads()
      const machine = await measureMachine(threads)
      if (options.json) output.events({ ...machine })
      output.say(describeMachine(machine))
      const results: BenchResult[] = []
      await runBench({
        plan: {
          tasks: options.case,
          devices: options.device,
          precisions: options.precision,
          grids: options.grid,
          channels: options.channels,
          memoryLimits,
          threads,
          repeats: options.repeats,
          peers: options.peers,
        },
        peakGflops: machine.peakGflops,
        signal,
        async onResult(result) {
          results.push(result)
          // At once: of a bench that takes hours, and is stopped, whatever was measured is there. A full disk ends it at its end only.
          if (options.out)
            await writeFigures(options.out, machine, results).catch((error) => {
              if (!mayPass(error)) throw error
            })
          if (options.json) output.result({ ...result })
          output.say(describeResult(result))
        },
        onProgress: (done, total) =>
          output.events({ type: 'progress', time: now(), task: 'bench', done, total, unit: 'runs' }),
      })
      if (options.out) await writeFigures(options.out, machine, results)
    })
  })
}
