import { Command } from 'commander'
import { wholeNumber } from '../option-parsers.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'

interface ViewOptions extends OutputOptions {
  data?: string
  pred?: string
  classes?: string
  volume?: number
  port?: number
  open: boolean
}

export function viewCommand(): Command {
  return withOutputOptions(
    new Command('view')
      .description(
        'Look at a scan with its label maps, at the cases of a dataset, or at the curves of a run, in a browser on this machine',
      )
      .argument('<source>', 'a run, a dataset, or a scan: NIfTI or MGH')
      .argument('[labels...]', 'of a scan: label maps to lay over it, and to compare')
      .option('--data <dataset>', 'of a run: a dataset whose cases are shown below the curves')
      .option('--pred <dir>', 'of a dataset: label maps that meshfl predict wrote of its scans, to compare')
      .option('--classes <names>', 'of a scan: names of the classes from 0, with commas')
      .option('--volume <n>', 'of a scan: which volume of the files that have several, from 0', wholeNumber(0))
      .option('--port <n>', 'port of the page on 127.0.0.1 (default: one that is free)', wholeNumber(0, 65535))
      .option('--no-open', 'print the address and open no browser')
      .addHelpText(
        'after',
        '\nExamples:\n  meshfl view scan.nii.gz labels.nii.gz\n  meshfl view ./dataset\n  meshfl view ./run',
      ),
  ).action(async (path: string, labels: string[], options: ViewOptions) => {
    await runCommand(options, { title: 'meshfl view', startsOver: true }, async ({ output, signal }) => {
      const [{ MeshflError }, { viewerContent }, { startViewer }, { viewerScripts }] = await Promise.all([
        import('@meshfl/core'),
        import('../viewer-content.js'),
        import('@meshfl/viewer'),
        import('../viewer-scripts.js'),
      ])
      // As `--data "$UNSET"` of a script is, which must not find the working directory.
      for (const name of ['data', 'pred'] as const)
        if (options[name] === '')
          throw new MeshflError('USAGE_OPTION', `--${name} is empty`, { kind: 'usage', hint: 'name a folder' })
      const { data, pred, classes, volume } = options
      const content = await viewerContent({ path, labels, data, pred, classes, volume })
      const viewer = await startViewer({ content, scripts: viewerScripts(), port: options.port, volume })
      try {
        if (options.json) output.result({ type: 'view', url: viewer.url })
        else await tellPerson(viewer, options)
        await aborted(signal)
      } finally {
        await viewer.close()
      }
    })
  })
}

/** At once, unlike a result: the command goes on until it is stopped. */
async function tellPerson({ url, port }: { url: string; port: number }, { quiet, open }: ViewOptions): Promise<void> {
  process.stdout.write(`${url}\n`)
  if (quiet) return
  const [{ openInBrowser, tunnelCommand }, { userInfo }] = await Promise.all([
    import('../open-in-browser.js'),
    import('node:os'),
  ])
  const tunnel = tunnelCommand(port, process.env, () => {
    try {
      return userInfo().username
    } catch {
      return undefined // an account without an entry in passwd, as containers have
    }
  })
  if (tunnel !== undefined) process.stdout.write(`from another machine, first: ${tunnel}\n`)
  else if (open && process.stdout.isTTY && !openInBrowser(url, process.env))
    process.stdout.write('open the address in a browser of this machine\n')
  process.stdout.write('for this machine only, and for whoever has the address; Ctrl-C ends it\n')
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
