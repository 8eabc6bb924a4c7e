import { Command, Option } from 'commander'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'

interface ImportOptions extends OutputOptions {
  out: string
  model?: string
  axes?: 'xyz' | 'zyx'
  classNames?: string[]
  force?: boolean
}

export function importCommand(): Command {
  return withOutputOptions(
    new Command('import')
      .description(
        'Turn a MeshNet of another tool into a model file that predict, eval and train --from take.\nNothing in the file is run.',
      )
      .argument(
        '<file>',
        'a .pth of torch.save (a state dict), a .safetensors of one, an ONNX file, or a model.json of brainchop with its weights beside it',
      )
      .requiredOption('--out <model.safetensors>', 'the model file to write')
      .option(
        '--model <file>',
        "what weights do not tell (dilations, activation): the reference's modelAE.json, or a study.yaml, whose classes and grid are taken too",
      )
      .addOption(
        new Option(
          '--axes <order>',
          "the order of axes that the network was trained on: xyz as in nibabel's arrays, zyx as in the bytes of a NIfTI file (default: as the file says, else xyz)",
        ).choices(['xyz', 'zyx']),
      )
      .option('--class-names <names>', 'names of the classes, background first, commas between them', (text) =>
        text.split(',').map((name) => name.trim()),
      )
      .option('--force', 'replace a file that is there')
      .addHelpText(
        'after',
        '\nScripts with PyTorch read scans by nibabel, whose arrays are [x, y, z]; the volumes of meshfl are [z, y, x]. With xyz the\nkernels are turned, so that the network sees what it was trained on.\n\nExample:\n  meshfl import model.pth --model modelAE.json --out model.safetensors\n  meshfl predict model.safetensors scan.nii.gz --out ./labels',
      ),
  ).action(async (file: string, options: ImportOptions) => {
    await runCommand(options, { title: 'meshfl import', startsOver: true }, async ({ output }) => {
      const { importModel } = await import('../import-model.js')
      const { parameters, sha256, format, assumed } = await importModel(file, options)
      if (assumed.length > 0)
        output.say(`neither the file nor an option says for certain, so taken: ${assumed.join('; ')}`)
      output.result(
        { type: 'model', path: options.out, format, parameters, parametersSha256: sha256, assumed },
        `wrote ${options.out}: ${parameters} parameters, sha256 ${sha256}`,
      )
    })
  })
}
