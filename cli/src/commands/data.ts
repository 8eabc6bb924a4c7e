import { Command } from 'commander'
import { numberBetween, positiveNumber, volumeShape, wholeNumber } from '../option-parsers.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'

interface SynthOptions extends OutputOptions {
  out: string
  count: number
  shape: [number, number, number]
  voxelSize: number
  contrast: number
  noise: number
  bias: number
  seed: number
}

/** `meshfl data`: what is done to scans before there is a dataset. */
export function dataCommand(): Command {
  return new Command('data')
    .description('Make brains to try meshfl with where there are no scans')
    .addCommand(synthCommand())
    .addHelpText('after', '\nExample:\n  meshfl data synth --out ./scans')
}

function synthCommand(): Command {
  return withOutputOptions(
    new Command('synth')
      .description(
        'Make T1-weighted heads and their labels (white and grey matter): images/ and labels/, as meshfl split takes them. The same options make the same bytes; a larger --count adds to them, up to 99, or 999, ...',
      )
      .requiredOption('--out <dir>', 'folder to write images/, labels/ and brains.json in')
      .option('--count <n>', 'how many', wholeNumber(1, 100_000), 12)
      .option('--shape <voxels>', 'grid of every volume: 96, or 96,112,88 for x,y,z', volumeShape, [96, 96, 96])
      .option('--voxel-size <mm>', 'edge of a voxel in millimetres; a head needs some 195 mm', positiveNumber, 2)
      .option('--contrast <factor>', 'between tissues: 1 is a good T1, 0.5 half of that', numberBetween(0, 1.5), 1)
      .option('--noise <part>', "standard deviation of the noise over white matter's signal", numberBetween(0, 1), 0.02)
      .option('--bias <sd>', 'of the logarithm of the smooth field over the image', numberBetween(0, 1), 0.05)
      .option('--seed <n>', 'other brains for another one', wholeNumber(0), 0)
      .addHelpText(
        'after',
        '\nExamples:\n  meshfl data synth --out ./scans --count 24 --seed 1\n  meshfl split ./scans --out ./dataset --shape 96 --voxel-size 2 --sites 3',
      ),
  ).action(async (options: SynthOptions) => {
    const { out, count, shape, voxelSize: voxelSizeMm, contrast, noise, bias, seed } = options
    await runCommand(options, { title: 'meshfl data synth' }, async ({ output, signal }) => {
      const [{ makeBrains }, { now }] = await Promise.all([import('@meshfl/dataset'), import('@meshfl/core')])
      await makeBrains({
        ...{ out, count, seed, shape, voxelSizeMm, contrast, noise, bias, signal },
        onProgress: (done, total) =>
          output.events({ type: 'progress', time: now(), task: 'make brains', done, total, unit: 'brains' }),
      })
      output.result({ type: 'brains', count, path: out }, `${count} brains: ${out}`)
    })
  })
}
