import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { CoalescedFile } from './coalesced-file.js'
import type { PatientWrites } from './patient-writes.js'

const GoodbyesSchema = z.strictObject({
  format: z.literal('meshfl-goodbyes/1'),
  run: z.string(),
  sites: z.array(z.string()),
})

/** The sites that have the end of a run and said so (`<run>/state/goodbyes.json`): a start after it waits for the others only. */
export class Goodbyes {
  readonly #file: CoalescedFile
  readonly #run: string
  readonly #sites: Set<string>

  private constructor(file: CoalescedFile, run: string, sites: readonly string[]) {
    this.#file = file
    this.#run = run
    this.#sites = new Set(sites)
  }

  /** A file that cannot be read, or is of another run, counts as none. */
  static open(folder: string, run: string, patience: PatientWrites): Goodbyes {
    const file = new CoalescedFile(join(folder, 'state', 'goodbyes.json'), { patience })
    let sites: readonly string[] = []
    try {
      const found = GoodbyesSchema.parse(JSON.parse(readFileSync(file.path, 'utf8')))
      if (found.run === run) sites = found.sites
    } catch {
      return new Goodbyes(file, run, []) // then nobody is known to have heard
    }
    return new Goodbyes(file, run, sites)
  }

  get sites(): ReadonlySet<string> {
    return this.#sites
  }

  /** Resolves when it is on disk, or cannot be: without it the next start waits in vain for a while, and that is all. */
  async add(site: string): Promise<void> {
    this.#sites.add(site)
    const content = (): z.infer<typeof GoodbyesSchema> => ({
      format: 'meshfl-goodbyes/1',
      run: this.#run,
      sites: [...this.#sites].sort(),
    })
    await this.#file.write(content).catch(() => undefined)
  }
}
