import { basename, resolve } from 'node:path'
import { MeshflError } from '@meshfl/core'
import { CONFORM_VERSION } from '@meshfl/volume'
import { volumeName } from './dataset-files.js'
import { checkSitesTrain, type Deal } from './deal.js'
import { foldOf } from './folds.js'
import type { CaseRecord } from './journal.js'
import type { LabelMap } from './label-map.js'
import type { FoundCase } from './layouts/layout.js'
import type { Case, DatasetManifest, Finding, Split } from './manifest.js'
import type { PrepareOptions } from './prepare-options.js'
import { shownPath, sourceName } from './source-files.js'
import { SPLITS } from './split.js'

/** A conformed case with the files that it came from. */
export interface PreparedCase {
  found: FoundCase
  record: CaseRecord
}

/**
 * The manifest at the root of a dataset: says in which split, at which site and in which file every case is.
 * @param deal of all subjects that the source has, also those whose cases are in error: each holds its place among the splits
 * and sites, so that mending it moves nobody else
 * @param prepared in the order of the source
 * @param findings those that belong to no single prepared case
 * @throws MeshflError `DATASET_SHAPES_DIFFER`, `DATASET_TOO_FEW_SUBJECTS`
 */
export function buildManifest(
  deal: Deal,
  prepared: readonly PreparedCase[],
  findings: readonly Finding[],
  labelMap: LabelMap,
  options: PrepareOptions,
): DatasetManifest {
  const splits = new Map(prepared.map(({ found }) => [found.subject, deal.splits.get(found.subject)!]))
  checkSitesTrain(deal, splits)
  const classes = labelMap.classes.length > 0 ? labelMap.classes : classesHeld(prepared)
  const root = resolve(options.source)
  const cases = prepared.map(({ found, record }): Case => {
    const site = deal.siteOf.get(found.subject)
    const fold = deal.foldBySubject.get(found.subject)
    const folder = site === undefined ? '' : `sites/${site}/`
    return {
      id: record.id,
      subject: found.subject,
      split: splits.get(found.subject)!,
      ...(fold === undefined ? {} : { fold }),
      ...(site === undefined ? {} : { site }),
      image: folder + volumeName('images', record.id),
      label: folder + volumeName('labels', record.id),
      imageSha256: record.imageSha256,
      labelSha256: record.labelSha256,
      source: { image: shownPath(root, found.image), label: shownPath(root, found.label), ...record.source },
      voxels: classes.map(({ value }) => record.voxels[value] ?? 0),
      columns: found.columns,
    }
  })
  return {
    format: 'meshfl-dataset/1',
    tool: `meshfl ${options.toolVersion}`,
    name: options.name ?? sourceName(root),
    seed: options.seed,
    ...(options.stratify === undefined ? {} : { stratify: options.stratify }),
    ...(options.folds === undefined ? {} : { folds: options.folds }),
    sites: [...deal.sites],
    partition: deal.sites.length === 0 ? 'none' : deal.partition,
    conform: { mode: options.conform.mode, version: CONFORM_VERSION, ...commonGrid(prepared) },
    labelMap: { name: labelMap.name, classes },
    cases,
    findings: [
      ...findings,
      ...deal.findings,
      ...prepared.flatMap(({ record }) => record.findings),
      ...emptyParts(deal, splits, options),
    ],
  }
}

/** The part of a manifest that one site holds: its own cases and what was found of them, with paths from its own folder. */
export function siteManifest(manifest: DatasetManifest, site: string): DatasetManifest {
  const prefix = `sites/${site}/`
  const own = manifest.cases.filter((item) => item.site === site)
  const subjects = new Set(own.map(({ subject }) => subject))
  return {
    ...manifest,
    site,
    sites: [],
    cases: own.map((item) => ({
      ...item,
      image: item.image.slice(prefix.length),
      label: item.label.slice(prefix.length),
    })),
    findings: manifest.findings.filter(({ subject }) => subject !== undefined && subjects.has(subject)),
  }
}

/** nnU-Net's splits_final.json: train and val of each fold, or of the one that there is, by the names of their files. */
export function nnunetSplits(manifest: DatasetManifest): { train: string[]; val: string[] }[] {
  const { folds } = manifest
  const each = folds === undefined ? [manifest] : Array.from({ length: folds }, (_, fold) => foldOf(manifest, fold))
  return each.map(({ cases }) => {
    const of = (split: Split): string[] =>
      cases
        .filter((item) => item.split === split)
        .map(({ image }) => basename(image, '.nii.gz'))
        .sort()
    return { train: of('train'), val: of('valid') }
  })
}

/** `identity` has the classes that the data holds, 0 to the greatest. */
function classesHeld(prepared: readonly PreparedCase[]): { value: number; name: string }[] {
  const count = Math.max(0, ...prepared.map(({ record }) => record.voxels.length))
  return Array.from({ length: count }, (_, value) => ({ value, name: value === 0 ? 'background' : `class ${value}` }))
}

function commonGrid(prepared: readonly PreparedCase[]): Omit<DatasetManifest['conform'], 'mode' | 'version'> {
  const grids = new Map<string, PreparedCase[]>()
  for (const item of prepared) {
    const { shape, voxelSizeMm, orientation } = item.record
    const key = `${shape.join('x')} voxels of ${voxelSizeMm.map((edge) => Number(edge.toFixed(3))).join('x')} mm, ${orientation}`
    grids.set(key, [...(grids.get(key) ?? []), item])
  }
  if (grids.size > 1) {
    const shown = [...grids].map(([key, items]) => {
      const more = items.length > 3 ? ` and ${items.length - 3} more` : ''
      return `${key} (${items
        .slice(0, 3)
        .map(({ record }) => record.id)
        .join(', ')}${more})`
    })
    throw new MeshflError('DATASET_SHAPES_DIFFER', `the cases lie on different grids: ${shown.join('; ')}`, {
      hint: 'leave --conform none out, so that all are brought to one grid',
    })
  }
  const { shape, voxelSizeMm, orientation } = prepared[0]!.record
  const edge = Math.cbrt(voxelSizeMm[0] * voxelSizeMm[1] * voxelSizeMm[2])
  return { shape, voxelSizeMm: Number(edge.toFixed(4)), orientation }
}

function emptyParts(
  { splits: dealt, foldBySubject, sites, siteOf }: Deal,
  splits: ReadonlyMap<string, Split>,
  { ratios, folds }: PrepareOptions,
): Finding[] {
  const findings: Finding[] = []
  const filled = new Set(splits.values())
  for (const [index, split] of SPLITS.entries()) {
    if (filled.has(split) || (split === 'valid' && folds !== undefined)) continue
    const wanted = ratios[index]! > 0
    const lost = [...dealt.values()].filter((value) => value === split).length
    findings.push({
      level: wanted ? 'warning' : 'info',
      code: 'SPLIT_EMPTY',
      message:
        lost > 0
          ? `no subject is in ${split}: all ${lost} that belong there were left out`
          : `no subject is in ${split}: there are ${dealt.size} subjects for the ratios ${ratios.join(',')}`,
    })
  }
  for (const fold of Array.from({ length: folds ?? 0 }).keys()) {
    if ([...splits.keys()].some((subject) => foldBySubject.get(subject) === fold)) continue
    findings.push({
      level: 'warning',
      code: 'FOLD_EMPTY',
      message: `no subject is in fold ${fold}: all that belong there were left out`,
    })
  }
  for (const site of filled.has('valid') ? sites : []) {
    if ([...siteOf].some(([subject, name]) => name === site && splits.get(subject) === 'valid')) continue
    findings.push({
      level: 'warning',
      code: 'SITE_EMPTY',
      message: `${site} has no subject in valid: none was dealt to it, or its own were left out`,
    })
  }
  return findings
}
