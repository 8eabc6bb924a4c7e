import { join } from 'node:path'
import type { FindOptions, FoundCase, FoundFinding, Layout } from './layout.js'
import { subjectOfName } from './subject-of-name.js'
import { listFolder, lostFolder, orFinding } from './volume-file.js'

const IMAGES = ['norm.mgz', 'brain.mgz', 'T1.mgz']
const LABELS = ['aparc+aseg.mgz', 'aparc.a2009s+aseg.mgz', 'aseg.mgz']

/** What FreeSurfer's longitudinal stream calls a time point that was processed again with its subject's template. */
const LONGITUDINAL = /^(.+)\.long\.(.+)$/

/** What FreeSurfer puts into every subjects folder as folders of, or links into, its own installation. */
const ITS_OWN = /^(fsaverage.*|[lr]h\.EC_average)$/

/** Names of files, which beside subjects may be links to nothing, too: those that DataLad has not fetched, an editor's locks. */
const NO_SUBJECT =
  /^\.|\.(?:tsv|csv|json|txt|md|log|pdf|html?|png|jpe?g|py|sh|m|mat|xlsx?|ya?ml|gz|bz2|zip|tar|nii|mgz|mgh|lta)$/i

/**
 * A FreeSurfer subjects folder: `<subject>/mri/` with an image and a segmentation. `fsaverage*` is no subject, and a template
 * (`<time point>.long.<template>` names it) is no scan but the mean of a subject's. Folders whose names
 * say that they show one person (`sub-1_ses-2`, `<time point>.long.<template>`) are one subject.
 */
export const freesurferLayout: Layout = {
  name: 'freesurfer',
  looksFor(options) {
    const { images, labels } = namesOf(options)
    return `<subject>/mri/ with one of ${images.join(' ')} and one of ${labels.join(' ')}`
  },
  async find(source, options) {
    const { images, labels } = namesOf(options)
    const cases: FoundCase[] = []
    const findings: FoundFinding[] = []
    const root = await listFolder(source)
    if (root === null) return null
    let subjects = 0
    const bases = basesOf(root.folders)
    const templates = new Set(bases.values())
    const taken = new Map<string, number>()
    for (const name of root.lost) {
      if (ITS_OWN.test(name) || NO_SUBJECT.test(name)) continue
      findings.push(lostFolder(source, join(source, name), subjectOf(name, bases).subject))
    }
    for (const name of root.folders) {
      if (ITS_OWN.test(name)) continue
      const { subject, columns } = subjectOf(name, bases)
      const folder = join(source, name, 'mri')
      const listing = await orFinding(findings, source, subject, () => listFolder(folder))
      if (listing === null) {
        const around = await orFinding(findings, source, subject, () => listFolder(join(source, name)))
        if (around?.lost.includes('mri')) findings.push(lostFolder(source, folder, subject))
        continue
      }
      subjects++
      if (listing === undefined) continue
      if (templates.has(name)) {
        const message = `${name} is not used: it is the template of a longitudinal stream, the mean of several scans`
        findings.push({ level: 'info', code: 'SUBJECT_PASSED_OVER', message, subject })
        continue
      }
      const image = images.find((name) => listing.files.includes(name))
      const label = labels.find((name) => listing.files.includes(name))
      if (image !== undefined && label !== undefined) {
        taken.set(image, (taken.get(image) ?? 0) + 1)
        cases.push({ subject, image: join(folder, image), label: join(folder, label), columns })
      } else if (image !== undefined) {
        findings.push({
          level: 'warning',
          code: 'IMAGE_WITHOUT_LABEL',
          message: `${name}/mri has ${image} but none of ${labels.join(', ')}`,
          subject,
        })
      } else if (label !== undefined) {
        findings.push({
          level: 'warning',
          code: 'LABEL_WITHOUT_IMAGE',
          message: `${name}/mri has ${label} but none of ${images.join(', ')}`,
          subject,
        })
      } else {
        findings.push({
          level: 'warning',
          code: 'SUBJECT_PASSED_OVER',
          message: `${name}/mri has none of ${images.join(', ')} and none of ${labels.join(', ')}`,
          subject,
        })
      }
    }
    if (taken.size > 1) {
      const counts = images.flatMap((name) => (taken.has(name) ? [`${name} of ${taken.get(name)}`] : []))
      findings.push({
        level: 'warning',
        code: 'IMAGES_MIXED',
        message: `the images are not all of one kind: ${counts.join(', ')}; --image takes one kind only`,
      })
    }
    return subjects === 0 ? null : { cases, findings }
  },
}

/** `norm` and `norm.mgz` mean the same file. */
function namesOf({ image, label }: FindOptions): { images: string[]; labels: string[] } {
  const file = (name: string): string => (/\.(mgz|mgh|nii|nii\.gz)$/.test(name) ? name : `${name}.mgz`)
  return {
    images: image === undefined ? IMAGES : [file(image)],
    labels: label === undefined ? LABELS : [file(label)],
  }
}

/** The template of every time point that has a longitudinal folder. */
function basesOf(folders: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    folders.flatMap((folder): [string, string][] => {
      const [, timePoint, base] = LONGITUDINAL.exec(folder) ?? []
      return timePoint === undefined || base === undefined ? [] : [[timePoint, base]]
    }),
  )
}

function subjectOf(folder: string, bases: ReadonlyMap<string, string>): ReturnType<typeof subjectOfName> {
  const timePoint = LONGITUDINAL.exec(folder)?.[1] ?? folder
  const named = subjectOfName(timePoint)
  return named.subject === timePoint ? { ...named, subject: bases.get(timePoint) ?? timePoint } : named
}
