import { join } from 'node:path'
import { writeFileAtomic } from '@meshfl/core'
import type { Experiment } from './experiment.js'
import { renderExperimentMarkdown } from './render-markdown.js'
import { renderExperimentPage } from './render-page.js'

/**
 * Writes experiment.html, experiment.md and experiment.json, each atomically, the last one last: it says that all are whole.
 * @returns the page
 * @throws MeshflError `DISK_FULL`, `PATH_NOT_WRITABLE`
 */
export async function writeExperiment(folder: string, experiment: Experiment): Promise<string> {
  const page = join(folder, 'experiment.html')
  await writeFileAtomic(join(folder, 'experiment.md'), renderExperimentMarkdown(experiment))
  await writeFileAtomic(page, renderExperimentPage(experiment))
  await writeFileAtomic(join(folder, 'experiment.json'), `${JSON.stringify(experiment, null, 2)}\n`)
  return page
}
