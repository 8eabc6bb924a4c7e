import { Command, Option } from 'commander'
import { type EngineOptions, withEngineOptions } from '../engine-options.js'
import { positiveNumber, volumeShape, wholeNumber } from '../option-parsers.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import type { UnreadableScan } from '../predict-images.js'
import { runCommand } from '../run-command.js'

interface PredictCommandOptions extends OutputOptions, EngineOptions {
  out: string
  conform?: 'freesurfer' | 'niivue' | 'none'
  shape?: [number, number, number]
  voxelSize?: number
  volume?: number
  nanToZero?: boolean
  probabilities?: boolean
}

export function predictCommand(): Command {
  return withOutputOptions(
    withEngineOptions(
      new Command('predict')
        .description(
          'Segment scans with a trained model: label maps in the space of each scan, and volumes in millilitres',
        )
        .argument('<model>', 'a run folder (its best model) or a model file')
        .argument('<image...>', 'T1 scans: NIfTI or MGH')
        .requiredOption('--out <dir>', 'folder for the label maps, and volumes.csv with a row for each of them'),
    )
      .addOption(
        new Option('--conform <mode>', 'how scans are brought to the grid (default: as the model was trained)').choices(
          ['freesurfer', 'niivue', 'none'],
        ),
      )
      .option('--shape <voxels>', 'grid to conform to (default: as the model was trained)', volumeShape)
      .option('--voxel-size <mm>', 'edge of a conformed voxel (default: as the model was trained)', positiveNumber)
      .option('--volume <n>', 'which volume of 4D files, from 0', wholeNumber(0))
      .option('--nan-to-zero', 'read NaN and infinite voxels as 0')
      .option('--probabilities', 'also write the probability of every class')
      .addHelpText('after', '\nExample:\n  meshfl predict ./run scan.nii.gz --out ./labels'),
  ).action(async (modelPath: string, images: string[], options: PredictCommandOptions) => {
    await runCommand(options, { title: 'meshfl predict', startsOver: true }, async ({ output, signal }) => {
      const [{ MeshflError, now }, { openTrainedModel }, { engineFromOptions }, { predictImages }] = await Promise.all([
        import('@meshfl/core'),
        import('../trained-model.js'),
        import('../engine-options.js'),
        import('../predict-images.js'),
      ])
      const model = await openTrainedModel(modelPath)
      const engine = await engineFromOptions(options)
      const predictions = predictImages({
        model,
        engine,
        images,
        out: options.out,
        conform: { mode: options.conform, shape: options.shape, voxelSizeMm: options.voxelSize },
        ...(options.volume === undefined ? {} : { volume: options.volume }),
        nanToZero: options.nanToZero === true,
        probabilities: options.probabilities === true,
        signal,
        onWarning: (message) => output.events({ type: 'log', time: now(), level: 'warn', message }),
        onSession: output.events,
      })
      let done = 0
      const leftOut: UnreadableScan[] = []
      for await (const outcome of predictions) {
        output.events({
          type: 'progress',
          time: now(),
          task: 'predict',
          done: ++done,
          total: images.length,
          unit: 'scans',
        })
        if ('error' in outcome) {
          const { image, error } = outcome
          // Of a single scan the command's own error says all of it.
          if (images.length === 1) throw error
          leftOut.push(outcome)
          const message = `left out: ${image}: ${error.message} [${error.code}]`
          output.events({ type: 'log', time: now(), level: 'error', message })
          continue
        }
        const { image, label, volumesMl } = outcome
        const volumes = Object.entries(volumesMl).map(([name, ml]) => `${name} ${ml.toFixed(1)} mL`)
        output.result({ type: 'prediction', image, label, volumesMl }, `${label}: ${volumes.join(', ')}`)
      }
      if (leftOut.length === 0) return
      const names = leftOut.map(({ image }) => image)
      const hints = new Set(leftOut.map(({ error }) => error.hint ?? 'look at what is said of each above'))
      throw new MeshflError(
        'PREDICT_LEFT_OUT',
        `${leftOut.length} of ${images.length} scans left out: ${names.join(', ')}`,
        { hint: [...hints].join('; '), data: { leftOut: names } },
      )
    })
  })
}
