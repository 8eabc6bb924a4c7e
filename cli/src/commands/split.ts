import { Command, Option } from 'commander'
import { positiveNumber, splitRatios, volumeShape, wholeNumber } from '../option-parsers.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'

interface SplitOptions extends OutputOptions {
  out: string
  labelMap: string
  conform: 'freesurfer' | 'niivue' | 'none'
  shape: [number, number, number]
  voxelSize: number
  ratios: [number, number, number]
  stratify?: string
  folds?: number
  sites?: number
  partition: string
  seed: number
  image?: string
  label?: string
  volume?: number
  nanToZero?: boolean
  name?: string
  dryRun?: boolean
  allowSkipped?: boolean
}

export function splitCommand(): Command {
  return withOutputOptions(
    new Command('split')
      .description(
        'Prepare a dataset: find scans and their labels, check and conform them, split them by subject and deal them to sites',
      )
      .argument(
        '<source>',
        'BIDS folder, FreeSurfer subjects folder, folder with images/ and labels/, nnU-Net folder, or a table (CSV or TSV: subject, image, label)',
      )
      .requiredOption('--out <dataset>', 'folder of the dataset to write')
      .option('--label-map <name>', 'gw3, aseg, identity, or a JSON file', 'gw3')
      .addOption(
        new Option('--conform <mode>', 'how volumes are brought to one grid; none keeps that of the source')
          .choices(['freesurfer', 'niivue', 'none'])
          .default('freesurfer'),
      )
      .option('--shape <voxels>', 'grid of every volume: 256, or 96,112,88 for x,y,z', volumeShape, [256, 256, 256])
      .option('--voxel-size <mm>', 'edge of a voxel in millimetres', positiveNumber, 1)
      .option('--ratios <train,valid,test>', 'parts of the split', splitRatios, [0.75, 0.15, 0.1])
      .option(
        '--stratify <column>',
        "have the values of a column in all parts of the split alike: a table's, or of participants.tsv in a BIDS folder",
      )
      .option(
        '--folds <k>',
        'deal all but test to k folds for a cross-validation, instead of train and valid: meshfl train --fold 0 to k-1',
        wholeNumber(2),
      )
      .option('--sites <n>', 'deal train and valid to this many sites, each under <dataset>/sites/', wholeNumber(1))
      .option(
        '--partition <how>',
        'how subjects are dealt to sites: iid; quantity:<alpha>, in unequal shares; dirichlet:<alpha>[:<column>], in equal shares with unequal mixtures of the values of a column (default: that of --stratify); by:<column>, each value a site. The smaller alpha, the more unequal',
        'iid',
      )
      .option('--seed <n>', 'seed of the split', wholeNumber(0), 0)
      .option(
        '--image <name>',
        'which image of a subject: file in mri/ (FreeSurfer), suffix (BIDS), folder, column or channel',
      )
      .option('--label <name>', 'which label of a subject')
      .option('--volume <n>', 'which volume of 4D files, from 0', wholeNumber(0))
      .option('--nan-to-zero', 'read NaN and infinite voxels as 0')
      .option('--name <name>', 'name of the dataset, and of the site that joins with it (default: of the source)')
      .option('--dry-run', 'show which case goes where, and write nothing')
      .option('--allow-skipped', 'exit with 0 even when cases were left out')
      .addHelpText(
        'after',
        '\nExamples:\n  meshfl split ./study --out ./dataset --sites 3 --shape 128 --voxel-size 2\n  meshfl split ./cases.csv --out ./dataset --partition by:hospital',
      ),
  ).action(async (source: string, options: SplitOptions) => {
    await runCommand(options, { title: 'meshfl split' }, async ({ output, signal }) => {
      const [{ prepareDataset }, { now }, { VERSION }, { leftOutText }] = await Promise.all([
        import('@meshfl/dataset'),
        import('@meshfl/core'),
        import('../program.js'),
        import('../left-out-text.js'),
      ])
      const { manifest, leftOut } = await prepareDataset({
        source,
        out: options.out,
        labelMap: options.labelMap,
        conform: { mode: options.conform, shape: options.shape, voxelSizeMm: options.voxelSize },
        ratios: options.ratios,
        ...(options.stratify === undefined ? {} : { stratify: options.stratify.trim().normalize('NFC') }),
        ...(options.folds === undefined ? {} : { folds: options.folds }),
        ...(options.sites === undefined ? {} : { sites: options.sites }),
        partition: options.partition,
        seed: options.seed,
        ...(options.image === undefined ? {} : { image: options.image }),
        ...(options.label === undefined ? {} : { label: options.label }),
        ...(options.volume === undefined ? {} : { volume: options.volume }),
        ...(options.name === undefined ? {} : { name: options.name }),
        nanToZero: options.nanToZero === true,
        dryRun: options.dryRun === true,
        toolVersion: VERSION,
        signal,
        onWait: (message) => output.events({ type: 'log', time: now(), level: 'info', message }),
        onProgress: (progress) => output.events({ type: 'progress', time: now(), ...progress }),
      })
      for (const { level, code, message, subject } of manifest.findings) {
        output.events({
          type: 'log',
          time: now(),
          level: level === 'warning' ? 'warn' : level,
          message: `${subject ? `${subject}: ` : ''}${message}${level === 'error' ? ` [${code}]` : ''}`,
        })
      }
      // The plan is for a person: with --json the counts are enough.
      if (options.dryRun) {
        for (const { split, fold, site, id, source } of manifest.cases)
          output.say(
            [
              fold === undefined ? split.padEnd(5) : `fold ${fold}`,
              ...(site ? [site] : []),
              id,
              source.image,
              source.label,
            ].join('  '),
          )
      }
      const count = (split: string): number => manifest.cases.filter((item) => item.split === split).length
      const splits = { train: count('train'), valid: count('valid'), test: count('test') }
      const how = options.allowSkipped ? '' : ' (so the exit code is 3; --allow-skipped makes it 0)'
      const sites = manifest.sites.length
      output.result(
        {
          type: 'dataset',
          cases: manifest.cases.length,
          splits,
          ...(manifest.folds === undefined ? {} : { folds: manifest.folds }),
          sites: Math.max(sites, 1),
          path: options.out,
          findings: manifest.findings.length,
          leftOut: leftOut.map((item) => item.subject),
        },
        [
          ...(leftOut.length > 0 ? [leftOutText(leftOut, how)] : []),
          `${manifest.cases.length} cases: ${manifest.folds === undefined ? `${splits.train} train, ${splits.valid} valid` : `${splits.train} in ${manifest.folds} folds`}, ${splits.test} test${sites > 0 ? `, over ${sites} ${sites === 1 ? 'site' : 'sites'}` : ''}`,
          options.dryRun ? 'nothing written (--dry-run)' : options.out,
        ].join('\n'),
      )
      if (leftOut.length > 0 && !options.allowSkipped) process.exitCode = 3
    })
  })
}
