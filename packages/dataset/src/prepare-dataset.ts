import { existsSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'
import {
  canonicalJson,
  LOCK_FILE,
  lockFolder,
  MeshflError,
  mayPass,
  sha256,
  syncFolder,
  writeFileAtomic,
} from '@meshfl/core'
import { CONFORM_VERSION, conformGeometry } from '@meshfl/volume'
import { buildManifest, nnunetSplits, type PreparedCase, siteManifest } from './build-manifest.js'
import { caseIds } from './case-id.js'
import { concurrently } from './concurrently.js'
import {
  type FileIndex,
  findIntact,
  indexFiles,
  placeFiles,
  removeEmptySites,
  removeStale,
  volumeName,
} from './dataset-files.js'
import { checkFolds, type Deal, dealSubjects } from './deal.js'
import { checkDuplicates } from './duplicates.js'
import { findCases } from './find-cases.js'
import { type CaseRecord, type JournalHead, readJournal, writeJournal } from './journal.js'
import { type LabelMap, loadLabelMap } from './label-map.js'
import type { FoundCase, FoundFinding } from './layouts/layout.js'
import { listFolder } from './layouts/volume-file.js'
import { type Case, type DatasetManifest, DatasetManifestSchema, type Finding } from './manifest.js'
import { MANIFEST_FILE } from './open-dataset.js'
import { checkSites } from './partition.js'
import { columnOf, parsePartition } from './partition-name.js'
import { planCase, prepareCase } from './prepare-case.js'
import type { LeftOut, PrepareOptions, PrepareResult } from './prepare-options.js'
import { qcPage } from './qc/qc-page.js'
import { checkSourceThere, foldersThere, onceMoreAfterEio } from './source-away.js'
import { shownPath, withoutFolders } from './source-files.js'
import { checkRatios } from './split.js'

/**
 * Makes a dataset: finds cases, conforms and checks them, splits by subject, deals train and valid to sites, writes volumes and
 * manifests. A case in error is left out and named in the result. What was interrupted continues when it is called again.
 * @throws MeshflError `DATASET_NO_PAIRS`, `DATASET_NO_CASES`, `DATASET_EXISTS`, `DATASET_DUPLICATE`, `DATASET_SHAPES_DIFFER`, `DATASET_TOO_FEW_SUBJECTS`,
 * `RATIOS_INVALID`, `PARTITION_INVALID`, `FOLDS_INVALID`, `USAGE_CONFORM`, `DISK_FULL`, `FILE_SERVER_AWAY`, `INTERRUPTED` and those of `findCases`, `dealSubjects` and `loadLabelMap`
 */
export async function prepareDataset(options: PrepareOptions): Promise<PrepareResult> {
  checkRatios(options.ratios)
  const partition = parsePartition(options.partition, options.stratify)
  checkFolds(options, partition)
  checkSites(options.sites, partition)
  conformGeometry({ shape: [1, 1, 1], affine: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] }, options.conform)
  const labelMap = await loadLabelMap(options.labelMap)
  const columns = [columnOf(partition), options.stratify].filter((column) => column !== undefined)
  const found = await findCases(options.source, { ...options, columns })
  const deal = dealSubjects(found, options, partition)
  const run = new Preparation(options, labelMap, found.cases, caseIds(found.cases), deal)
  if (options.dryRun) return run.plan(found.findings)
  return run.execute(found.findings)
}

/** One call of prepareDataset. */
class Preparation {
  readonly #root: string
  readonly #out: string
  readonly #leftOut = new Map<number, LeftOut>()
  readonly #records = new Map<number, CaseRecord>()
  #lost: AbortSignal | undefined

  constructor(
    readonly options: PrepareOptions,
    readonly labelMap: LabelMap,
    readonly cases: readonly FoundCase[],
    readonly ids: readonly string[],
    readonly deal: Deal,
  ) {
    this.#root = resolve(options.source)
    this.#out = resolve(options.out)
  }

  /** What would be made, from the files' headers. */
  async plan(findings: FoundFinding[]): Promise<PrepareResult> {
    await this.#forEachCase('plan', async (found, index) => {
      this.#records.set(index, await planCase(found, this.ids[index]!, this.#names(found), this.options))
    })
    return this.#result(findings)
  }

  async execute(findings: FoundFinding[]): Promise<PrepareResult> {
    const { signal, onWait } = this.options
    const lock = await lockFolder(this.#out, { ...(signal ? { signal } : {}), ...(onWait ? { onWatch: onWait } : {}) })
    this.#lost = lock.lost
    try {
      return await this.#make(findings)
    } finally {
      lock.release()
    }
  }

  async #make(findings: FoundFinding[]): Promise<PrepareResult> {
    const { reusable, former } = await this.#claimFolder()
    const index = await indexFiles(this.#out)
    await this.#forEachCase('conform', (found, position) => this.#conform(found, position, reusable, index))
    const result = this.#result(findings)
    await this.#checkPlaces(result.manifest)
    await this.#publish(result.manifest, index, former)
    return result
  }

  /**
   * A model may have been trained on the dataset as it stands: a subject that moved from there into its test would be scored by it.
   * Subjects that nothing was known of, and versions that dealt otherwise, can change the deal.
   * @throws MeshflError `DATASET_DEALT_ANEW`
   */
  async #checkPlaces(manifest: DatasetManifest): Promise<void> {
    const text = await readFile(join(this.#out, MANIFEST_FILE), 'utf8').catch(() => undefined)
    const published = text === undefined ? undefined : parsedManifest(text)
    if (!published) return
    const placeOf = ({ split, site, fold }: Case): string =>
      fold !== undefined ? `fold ${fold}` : site === undefined ? split : `${split} of ${site}`
    const before = new Map(published.cases.map((item) => [item.subject, placeOf(item)]))
    const moved = new Map(
      manifest.cases.flatMap((item) => {
        const was = before.get(item.subject)
        return was === undefined || was === placeOf(item) ? [] : [[item.subject, `${was} to ${placeOf(item)}`]]
      }),
    )
    if (moved.size === 0) return
    const shown = [...moved].slice(0, 3).map(([subject, move]) => `${subject} from ${move}`)
    const more = moved.size > 3 ? ` and ${moved.size - 3} more` : ''
    throw new MeshflError(
      'DATASET_DEALT_ANEW',
      `${this.options.out} would be dealt anew: ${shown.join(', ')}${more} would change their places`,
      {
        hint: 'give another --out, or remove that folder where nothing was trained on it: the subjects of the source are others than before',
        data: { path: this.#out, moved: [...moved.keys()] },
      },
    )
  }

  /**
   * Takes the output folder: an empty one, or one that this very dataset was begun in.
   * @returns records of cases that may still be right, and the ids of all cases that a former run wrote
   */
  async #claimFolder(): Promise<{ reusable: Map<string, CaseRecord>; former: Set<string> }> {
    const head = this.#head()
    const journal = await readJournal(this.#out)
    const listing = await listFolder(this.#out)
    const published = listing?.files.includes(MANIFEST_FILE) ?? false
    const others = [...(listing?.files ?? []), ...(listing?.folders ?? [])].filter(
      (name) => !name.startsWith(LOCK_FILE),
    )
    const foreign = journal === null && others.length > 0
    if (foreign || (published && journal?.head.dataset !== head.dataset)) {
      throw new MeshflError(
        'DATASET_EXISTS',
        published ? `${this.options.out} holds another dataset` : `${this.options.out} is not empty`,
        {
          hint: published
            ? 'give another --out, or remove that folder; the same version of meshfl would have continued it, with the same source, cases and options'
            : 'give another --out, or remove what is in it',
          data: { path: this.#out },
        },
      )
    }
    const known = journal?.records ?? []
    const records = journal?.head.conform === head.conform ? known : []
    // The whole file anew: nothing may be appended to a line that a crash cut short.
    await writeJournal(this.#out, { head, records })
    return {
      reusable: new Map(records.map((record) => [record.id, record])),
      former: new Set(known.map(({ id }) => id)),
    }
  }

  #head(): JournalHead {
    const { conform, volume, nanToZero, toolVersion, ratios, stratify, folds, seed, name } = this.options
    const { partition } = this.deal
    const sites = this.deal.sites.length > 0 ? this.deal.sites.length : undefined
    const { vocabularies, ...map } = this.labelMap
    const labelMap = {
      ...map,
      vocabularies: vocabularies.map(({ codes, hallmark }) => ({ codes: [...codes], hallmark })),
    }
    const perCase = { conform, version: CONFORM_VERSION, volume, nanToZero, toolVersion, labelMap }
    const pairs = this.cases.map((found, index) => ({
      ...this.#names(found),
      id: this.ids[index],
      columns: found.columns,
    }))
    return {
      format: 'meshfl-split-journal/1',
      conform: sha256(canonicalJson(perCase)),
      dataset: sha256(canonicalJson({ perCase, ratios, stratify, folds, sites, partition, seed, name, pairs })),
    }
  }

  async #conform(
    found: FoundCase,
    position: number,
    reusable: ReadonlyMap<string, CaseRecord>,
    index: FileIndex,
  ): Promise<void> {
    const { labelMap, options } = this
    const work = { found, id: this.ids[position]!, names: this.#names(found), labelMap, options, folder: this.#out }
    const record = await prepareCase(work, reusable.get(work.id), index)
    this.#records.set(position, record)
  }

  async #forEachCase(task: string, work: (found: FoundCase, index: number) => Promise<void>): Promise<void> {
    const { onProgress, workers = 2 } = this.options
    const there = await foldersThere(this.#root, this.cases)
    let done = 0
    const total = this.cases.length
    onProgress?.({ task, done, total, unit: 'cases' })
    await concurrently(this.cases, workers, async (found, index) => {
      this.#stopWhenAsked(`${done} of ${total} cases`)
      try {
        await onceMoreAfterEio(() => work(found, index))
      } catch (error) {
        // What cannot be written is no fault of the case, nor is what cannot be read of the dataset, nor a file server that is away.
        if (!(error instanceof MeshflError) || error.kind !== 'data' || mayPass(error) || this.#isOwn(error))
          throw error
        await checkSourceThere(error, there, this.#root, found)
        this.#leaveOut(found, index, error)
      }
      onProgress?.({ task, done: ++done, total, unit: 'cases' })
    })
  }

  /** Whether an error is about a file of the dataset. */
  #isOwn({ data: { path } }: MeshflError): boolean {
    return typeof path === 'string' && path.startsWith(`${this.#out}${sep}`)
  }

  /** @throws MeshflError `INTERRUPTED` */
  #stopWhenAsked(done: string): void {
    this.#lost?.throwIfAborted()
    if (!this.options.signal?.aborted) return
    throw new MeshflError('INTERRUPTED', `stopped after ${done}`, {
      kind: 'interrupted',
      hint: 'run the same command again: it takes what is done as it is',
    })
  }

  #leaveOut(found: FoundCase, index: number, error: MeshflError): void {
    const message = withoutFolders(error.message, this.#root, found)
    const beside = join(/\.(csv|tsv)$/i.test(this.#root) ? dirname(this.#root) : this.#root, 'label-map.json')
    const hint = error.code === 'LABEL_MAP_MISMATCH' && existsSync(beside) ? `try --label-map ${beside}` : error.hint
    this.#leftOut.set(index, {
      subject: found.subject,
      code: error.code,
      message,
      ...(hint === undefined ? {} : { hint }),
    })
  }

  #result(found: FoundFinding[]): PrepareResult {
    const unread = found.flatMap(({ level, subject = '', ...item }): LeftOut[] =>
      level === 'error' ? [{ subject, ...item }] : [],
    )
    const leftOut = [...unread, ...[...this.#leftOut].sort(([a], [b]) => a - b).map(([, item]) => item)]
    const prepared = this.cases.flatMap((item, index): PreparedCase[] => {
      const record = this.#records.get(index)
      return record === undefined ? [] : [{ found: item, record }]
    })
    if (prepared.length === 0) {
      const shown = leftOut.slice(0, 3).map(({ subject, message }) => `${subject}: ${message}`)
      const more = leftOut.length > 3 ? `; and ${leftOut.length - 3} more` : ''
      throw new MeshflError('DATASET_NO_CASES', `no case can be used; ${shown.join('; ')}${more}`, {
        hint: leftOut[0]?.hint ?? 'mend the files and run the same command again',
        data: { leftOut },
      })
    }
    const findings: Finding[] = [
      ...found.filter(({ level }) => level !== 'error'),
      ...leftOut.map(({ subject, code, message }): Finding => ({ level: 'error', code, message, subject })),
      ...(this.options.dryRun ? [] : checkDuplicates(prepared)),
    ]
    return { manifest: buildManifest(this.deal, prepared, findings, this.labelMap, this.options), leftOut }
  }

  /** Moves the volumes into place, then writes the manifests, the root's last: with it the dataset exists. */
  async #publish(manifest: DatasetManifest, index: FileIndex, former: ReadonlySet<string>): Promise<void> {
    const out = this.#out
    const moves = new Map<string, string>()
    const records = [...this.#records].sort(([a], [b]) => a - b).map(([, record]) => record)
    for (const [position, record] of records.entries()) {
      const item = manifest.cases[position]!
      const imageName = volumeName('images', record.id)
      const labelName = volumeName('labels', record.id)
      moves.set((await findIntact(out, index, imageName, record.imageFileSha256))!, item.image)
      moves.set((await findIntact(out, index, labelName, record.labelFileSha256))!, item.label)
    }
    if ([...moves].some(([from, to]) => from !== to)) await this.#unpublish()
    await placeFiles(out, moves)
    await removeStale(out, index, new Set([...former, ...this.ids]), new Set(moves.values()))
    await removeEmptySites(out)
    await writeJournal(out, { head: this.#head(), records })
    for (const site of manifest.sites) {
      await writeJson(join(out, 'sites', site, MANIFEST_FILE), siteManifest(manifest, site))
    }
    await writeJson(join(out, 'splits_final.json'), nnunetSplits(manifest))
    const { onProgress } = this.options
    const page = await qcPage(manifest, out, (done, total) => {
      this.#stopWhenAsked(`${done} of ${total} pictures`)
      onProgress?.({ task: 'qc', done, total, unit: 'cases' })
    })
    await writeFileAtomic(join(out, 'qc.html'), page)
    await writeJson(join(out, MANIFEST_FILE), manifest)
  }

  /** While volumes move, no manifest may promise them; nor one of a run with other sites that never came to its end. */
  async #unpublish(): Promise<void> {
    const sites = (await listFolder(join(this.#out, 'sites')))?.folders ?? []
    const manifests = [MANIFEST_FILE, ...sites.map((site) => join('sites', site, MANIFEST_FILE))]
    for (const file of manifests) await rm(join(this.#out, file), { force: true })
    await syncFolder(this.#out)
  }

  #names(found: FoundCase): { subject: string; image: string; label: string } {
    return {
      subject: found.subject,
      image: shownPath(this.#root, found.image),
      label: shownPath(this.#root, found.label),
    }
  }
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(value, null, 2)}\n`)
}

function parsedManifest(text: string): DatasetManifest | undefined {
  try {
    return DatasetManifestSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined // not one of ours: it is written anew
  }
}
