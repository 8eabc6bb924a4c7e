import { existsSync, statSync } from 'node:fs'
import { basename, dirname, resolve, sep } from 'node:path'
import { MeshflError } from '@meshfl/core'

/** Of the label maps that are predicted, behind the scan's name. */
export const LABEL_ENDING = '_dseg.nii.gz'

/**
 * What each scan's results are called: its file name; where several scans share one, as FreeSurfer's T1.mgz do, with the
 * folders in which they differ before it (bert/mri/T1.mgz -> bert_mri_T1).
 * @throws MeshflError `FILE_NOT_FOUND`, `FILE_NOT_READABLE`, `PREDICT_NAME_TWICE`: told before hours of work, not in the middle of them
 */
export function predictionNames(images: readonly string[]): string[] {
  const missing = images.filter((image) => !existsSync(image))
  if (missing.length > 0) {
    throw new MeshflError('FILE_NOT_FOUND', `there is no file ${missing.join(', ')}`, { hint: 'check the path' })
  }
  const folders = images.filter((image) => statSync(image).isDirectory())
  if (folders.length > 0) {
    throw new MeshflError('FILE_NOT_READABLE', `${folders.join(', ')}: a folder, no scan`, {
      hint: 'name the scans in it, for instance folder/*.nii.gz',
    })
  }
  const names = images.map(stemOf)
  const longer = names.map((name, i) => {
    const alike = images.filter((_, k) => names[k] === name)
    return alike.length === 1 ? name : [...foldersThatDiffer(images[i]!, alike), name].join('_')
  })
  const twice = longer.find((name, i) => longer.indexOf(name) !== i)
  if (twice === undefined) return longer
  throw new MeshflError(
    'PREDICT_NAME_TWICE',
    `two scans are called ${twice}: one label map would overwrite the other`,
    {
      kind: 'usage',
      hint: 'name each scan once, or predict them into two folders',
    },
  )
}

/**
 * What the files of each class are called, in any script: classes whose names differ in signs or case alone, and those without a letter or
 * digit, with their value behind it. Some file systems tell no case apart.
 */
export function classFileNames(classNames: readonly string[]): string[] {
  const names = classNames.map((name) => name.replaceAll(/[^\p{L}\p{M}\p{N}_]+/gu, '-'))
  const isOwn = (name: string): boolean =>
    name !== '-' && names.filter((other) => other.toLowerCase() === name.toLowerCase()).length === 1
  return names.map((name, value) => (isOwn(name) ? name : `${name === '-' ? 'class' : name}-${value}`))
}

/** What nearly all file systems allow, in bytes or, more generously, in letters. */
const MOST_NAME_BYTES = 255

/**
 * @param names of the files that will be written
 * @throws MeshflError `PATH_NOT_WRITABLE`: told before hours of work, too
 */
export function checkNameLengths(names: readonly string[]): void {
  const long = names.find((name) => Buffer.byteLength(name) > MOST_NAME_BYTES)
  if (long === undefined) return
  throw new MeshflError(
    'PATH_NOT_WRITABLE',
    `a result would be called ${long}: ${Buffer.byteLength(long)} bytes, where a name may have ${MOST_NAME_BYTES}`,
    { kind: 'usage', hint: 'give the scan a shorter name, for instance a link to it' },
  )
}

/** The folders of a file, from the first one that it does not share with the others. */
function foldersThatDiffer(image: string, others: readonly string[]): string[] {
  const folders = foldersOf(image)
  const shared = folders.findIndex((folder, i) => others.some((other) => foldersOf(other)[i] !== folder))
  return shared < 0 ? [] : folders.slice(shared)
}

const foldersOf = (path: string): string[] => dirname(resolve(path)).split(sep)

/** A scan's file name without its ending. */
export function stemOf(path: string): string {
  return basename(path).replace(/\.(nii|mgh|mgz|hdr|img)(\.gz)?$/i, '')
}
