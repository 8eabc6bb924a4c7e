import { join } from 'node:path'
import type { Finding } from '../manifest.js'
import type { FindOptions, FoundCase, Layout } from './layout.js'
import { listFolder } from './volume-file.js'

const IMAGES = ['norm.mgz', 'brain.mgz', 'T1.mgz']
const LABELS = ['aparc+aseg.mgz', 'aparc.a2009s+aseg.mgz', 'aseg.mgz']

/** A FreeSurfer subjects folder: `<subject>/mri/` with an image and a segmentation. `fsaverage*` is no subject. */
export const freesurferLayout: Layout = {
  name: 'freesurfer',
  looksFor(options) {
    const { images, labels } = namesOf(options)
    return `<subject>/mri/ with one of ${images.join(' ')} and one of ${labels.join(' ')}`
  },
  async find(source, options) {
    const { images, labels } = namesOf(options)
    const cases: FoundCase[] = []
    const findings: Finding[] = []
    const root = await listFolder(source)
    if (root === null) return null
    let subjects = 0
    for (const subject of root.folders) {
      if (subject.startsWith('fsaverage')) continue
      const folder = join(source, subject, 'mri')
      const listing = await listFolder(folder)
      if (listing === null) continue
      subjects++
      const image = images.find((name) => listing.files.includes(name))
      const label = labels.find((name) => listing.files.includes(name))
      if (image !== undefined && label !== undefined) {
        cases.push({ subject, image: join(folder, image), label: join(folder, label), columns: {} })
      } else if (image !== undefined) {
        findings.push({
          level: 'warning',
          code: 'IMAGE_WITHOUT_LABEL',
          message: `${subject}/mri has ${image} but none of ${labels.join(', ')}`,
          subject,
        })
      } else if (label !== undefined) {
        findings.push({
          level: 'warning',
          code: 'LABEL_WITHOUT_IMAGE',
          message: `${subject}/mri has ${label} but none of ${images.join(', ')}`,
          subject,
        })
      }
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
