import { Command, Option } from 'commander'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'

interface ExportOptions extends OutputOptions {
  format: 'pth' | 'onnx' | 'safetensors' | 'brainchop'
  out: string
  axes?: 'xyz' | 'zyx'
  force?: boolean
}

export function exportCommand(): Command {
  return withOutputOptions(
    new Command('export')
      .description('Write a trained model for other tools')
      .argument('<model>', 'a run folder (its best model) or a model file')
      .addOption(
        new Option(
          '--format <format>',
          'pth: a state dict for torch.load; onnx: image -> logits; safetensors: the names of pth; brainchop: model.json, and its weights in a .bin beside it, BatchNorm folded',
        )
          .choices(['pth', 'onnx', 'safetensors', 'brainchop'])
          .makeOptionMandatory(),
      )
      .requiredOption('--out <file>', 'the file to write')
      .addOption(
        new Option(
          '--axes <order>',
          "the order of axes of the volumes that it will be given: xyz as in nibabel's arrays, zyx as in the bytes of a NIfTI file (default: xyz; of safetensors, which is meshfl's own, zyx)",
        ).choices(['xyz', 'zyx']),
      )
      .option('--force', 'replace a file that is there')
      .addHelpText(
        'after',
        '\nThe network expects (N, 1, D, H, W) float32: a conformed volume of 8 bits divided by 255, so values from 0 to 1.\n\nExample:\n  meshfl export ./run --format pth --out model.pth',
      ),
  ).action(async (modelPath: string, options: ExportOptions) => {
    await runCommand(options, { title: 'meshfl export', startsOver: true }, async ({ output }) => {
      const { exportModel } = await import('../export-model.js')
      const { sha256, axes } = await exportModel(modelPath, options)
      output.result(
        { type: 'export', format: options.format, path: options.out, axes, parametersSha256: sha256 },
        `wrote ${options.out}, for volumes of axes ${axes}`,
      )
    })
  })
}
