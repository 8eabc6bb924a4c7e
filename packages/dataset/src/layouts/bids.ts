import { realpath } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import type { FoundCase, FoundFinding, Layout } from './layout.js'
import { readParticipants } from './participants.js'
import { listFolder, lostFolder, orFinding, volumeStem } from './volume-file.js'

/** Spaces whose voxels are those of the subject's own scan; a label in any other space belongs to a template. */
const NATIVE_SPACES = new Set(['T1w', 'orig', 'individual', 'native', 'anat', 'scanner', 'fsnative'])
/** Folders of subjects and sessions, also with the mark for bytes that are no UTF-8. */
const LOST_SUBJECT = /^sub-[A-Za-z0-9\uFFFD]+$/
const LOST_SESSION = /^ses-[A-Za-z0-9\uFFFD]+$/
/** Entities that tell two scans of one session apart. */
const SCAN_ENTITIES = ['run', 'acq', 'rec', 'ce', 'part', 'echo', 'inv']

/** BIDS: `sub-X/[ses-Y/]anat/*_T1w.nii.gz`, labels `*_dseg.nii.gz` anywhere under `derivatives/`; of participants.tsv what is asked for. */
export const bidsLayout: Layout = {
  name: 'bids',
  looksFor: ({ image = 'T1w', label = 'dseg' }) =>
    `sub-*/[ses-*/]anat/*_${image}.nii.gz with derivatives/**/*_${label}.nii.gz`,
  async find(source, { image = 'T1w', label = 'dseg', columns = [] }) {
    const findings: FoundFinding[] = []
    const images = await findImages(source, image, findings)
    if (images === null) return null
    const { labels, tables } = await findLabels(source, label, findings)
    const participants = await readParticipants(source, columns)
    const cases: FoundCase[] = []
    const used = new Map<BidsFile, BidsFile[]>()
    for (const scan of images) {
      const subject = `sub-${scan.entities.get('sub')}`
      const ranked = labels
        .map((candidate) => ({ candidate, score: agreement(scan, candidate) }))
        .filter(({ score }) => score !== null)
        .sort((a, b) => b.score! - a.score! || (a.candidate.path < b.candidate.path ? -1 : 1))
      const best = ranked[0]
      if (best === undefined) {
        findings.push({
          level: 'warning',
          code: 'IMAGE_WITHOUT_LABEL',
          message: `${shown(source, scan.path)} has no *_${label} of its subject and session under derivatives/`,
          subject,
        })
        continue
      }
      if (ranked[1]?.score === best.score) {
        findings.push({
          level: 'warning',
          code: 'LABEL_AMBIGUOUS',
          message: `${shown(source, scan.path)} has several labels; ${shown(source, best.candidate.path)} is used`,
          subject,
        })
      }
      used.set(best.candidate, [...(used.get(best.candidate) ?? []), scan])
      const names = namesFor(best.candidate, tables)
      cases.push({
        subject,
        image: scan.path,
        label: best.candidate.path,
        columns: { ...Object.assign({}, ...(participants.rows.get(subject) ?? []).toReversed()), ...columnsOf(scan) },
        ...(names === undefined ? {} : { names }),
      })
    }
    for (const [label, scans] of used) {
      if (scans.length === 1) continue
      findings.push({
        level: 'warning',
        code: 'LABEL_SHARED',
        message: `${shown(source, label.path)} names no scan of its own and is the label of ${scans.map(({ path }) => shown(source, path)).join(' and ')}`,
        subject: `sub-${label.entities.get('sub')}`,
      })
    }
    const scanned = new Set(images.map((scan) => scan.entities.get('sub')))
    for (const candidate of labels) {
      if (used.has(candidate) || scanned.has(candidate.entities.get('sub'))) continue
      findings.push({
        level: 'warning',
        code: 'LABEL_WITHOUT_IMAGE',
        message: `${shown(source, candidate.path)} has no *_${image} of its subject`,
        subject: `sub-${candidate.entities.get('sub')}`,
      })
    }
    return { cases, findings, participants }
  },
}

interface BidsFile {
  path: string
  entities: Map<string, string>
}

/** How many entities of the label name this scan; null where one names another scan or another space. */
function agreement(scan: BidsFile, label: BidsFile): number | null {
  for (const key of ['sub', 'ses']) {
    if (scan.entities.get(key) !== label.entities.get(key)) return null
  }
  const space = label.entities.get('space')
  if (space !== undefined && !NATIVE_SPACES.has(space)) return null
  let score = 0
  for (const key of SCAN_ENTITIES) {
    const value = label.entities.get(key)
    if (value === undefined) continue
    if (value !== scan.entities.get(key)) return null
    score++
  }
  return score
}

/** BIDS' inheritance: the nearest table at or above the label's folder whose entities are all the label's own. */
function namesFor(label: BidsFile, tables: BidsFile[]): string | undefined {
  const fitting = tables.filter(
    (table) =>
      `${dirname(label.path)}${sep}`.startsWith(`${dirname(table.path)}${sep}`) &&
      [...table.entities].every(([key, value]) => label.entities.get(key) === value),
  )
  fitting.sort((a, b) => dirname(b.path).length - dirname(a.path).length || b.entities.size - a.entities.size)
  return fitting[0]?.path
}

function columnsOf(scan: BidsFile): Record<string, string> {
  const columns: Record<string, string> = {}
  const session = scan.entities.get('ses')
  if (session !== undefined) columns.session = `ses-${session}`
  for (const key of SCAN_ENTITIES) {
    const value = scan.entities.get(key)
    if (value !== undefined) columns[key] = value
  }
  return columns
}

async function findImages(source: string, suffix: string, findings: FoundFinding[]): Promise<BidsFile[] | null> {
  const root = await listFolder(source)
  if (root === null) return null
  const images: BidsFile[] = []
  let folders = 0
  /** Those of the folders that BIDS allows; what only looks like one is named. */
  const allowed = (names: readonly string[], kind: 'sub' | 'ses', parent: string): string[] => {
    const fitting: string[] = []
    for (const name of names.filter((candidate) => candidate.startsWith(`${kind}-`))) {
      if (/^[a-z]+-[A-Za-z0-9]+$/.test(name)) fitting.push(name)
      else {
        findings.push({
          level: 'warning',
          code: 'SUBJECT_PASSED_OVER',
          message: `${shown(source, join(source, parent, name))} is not looked into: BIDS has only letters and digits after ${kind}-`,
          subject: parent || name,
        })
      }
    }
    return fitting
  }
  const lostOf = (names: readonly string[], wanted: RegExp, subject: string, parent: string): void => {
    for (const name of names.filter((candidate) => wanted.test(candidate)))
      findings.push(lostFolder(source, join(source, parent, name), subject || name))
  }
  lostOf(root.lost, LOST_SUBJECT, '', '')
  for (const subject of allowed(root.folders, 'sub', '')) {
    const look = (...path: string[]) =>
      orFinding(findings, source, subject, () => listFolder(join(source, subject, ...path)))
    const inside = await look()
    const sessions = allowed(inside?.folders ?? [], 'ses', subject)
    lostOf(inside?.lost ?? [], LOST_SESSION, subject, subject)
    for (const parent of inside === undefined ? [] : ['', ...sessions]) {
      const anat = await look(parent, 'anat')
      if (anat === null) {
        const around = parent === '' ? inside : await look(parent)
        lostOf(around?.lost ?? [], /^anat$/, subject, join(subject, parent))
      }
      if (anat === null || anat === undefined) continue
      folders++
      for (const file of anat.files) {
        const entities = parseName(file, suffix)
        if (entities?.has('sub')) images.push({ path: join(source, subject, parent, 'anat', file), entities })
      }
    }
  }
  return folders === 0 ? null : images
}

async function findLabels(
  source: string,
  suffix: string,
  findings: FoundFinding[],
): Promise<{ labels: BidsFile[]; tables: BidsFile[] }> {
  const labels: BidsFile[] = []
  const tables: BidsFile[] = []
  const seen = new Set<string>()
  const links: [path: string, depth: number][] = []
  const walk = async (path: string, depth: number): Promise<void> => {
    const real = await whereIs(path)
    if (seen.has(real)) return
    seen.add(real)
    // Often another pipeline's, or another person's, with no label that is wanted here.
    const listing = await orFinding(findings, source, undefined, () => listFolder(path))
    if (!listing) return
    for (const file of listing.files) {
      if (file === `${suffix}.tsv` || file.endsWith(`_${suffix}.tsv`)) {
        tables.push({ path: join(path, file), entities: entitiesOf(file.slice(0, -suffix.length - 4)) })
      }
      const entities = parseName(file, suffix)
      if (entities?.has('sub')) labels.push({ path: join(path, file), entities })
    }
    // BIDS nests derivatives/<pipeline>/sub/ses/anat; a bound keeps a link to elsewhere from walking a whole disk.
    for (const name of depth < 8 ? listing.folders : []) {
      const child = join(path, name)
      if ((await whereIs(child)) === join(real, name)) await walk(child, depth + 1)
      else links.push([child, depth + 1])
    }
  }
  await walk(join(source, 'derivatives'), 0)
  // Links last, so that what lies there under its own name is found under that name; walking one may find more of them.
  for (const [path, depth] of links) await walk(path, depth)
  labels.sort((a, b) => (a.path < b.path ? -1 : 1))
  return { labels, tables }
}

/** What a path is without links; of one that cannot be followed, the path: looking into it says why. */
function whereIs(path: string): Promise<string> {
  return realpath(path).catch(() => path)
}

/** `sub-01_ses-2_run-1_T1w.nii.gz` as its entities; null where the suffix is another one. */
function parseName(file: string, suffix: string): Map<string, string> | null {
  const stem = volumeStem(file)
  if (stem === null || !stem.endsWith(`_${suffix}`)) return null
  return entitiesOf(stem.slice(0, -suffix.length))
}

function entitiesOf(name: string): Map<string, string> {
  const entities = new Map<string, string>()
  for (const part of name.split('_')) {
    const dash = part.indexOf('-')
    if (dash > 0) entities.set(part.slice(0, dash), part.slice(dash + 1))
  }
  return entities
}

function shown(source: string, path: string): string {
  return relative(source, path).split(sep).join('/')
}
