import { join } from 'node:path'
import type { Finding } from '../manifest.js'
import type { FoundCase, Layout } from './layout.js'
import { subjectOfName } from './subject-of-name.js'
import { listFolder, volumeStem } from './volume-file.js'

/** Two folders side by side, `images/` and `labels/`, whose files are paired by their names without extension. */
export const foldersLayout: Layout = {
  name: 'folders',
  looksFor: ({ image = 'images', label = 'labels' }) => `${image}/ and ${label}/ with files of the same name`,
  async find(source, { image = 'images', label = 'labels' }) {
    const [images, labels] = await Promise.all([volumesByStem(join(source, image)), volumesByStem(join(source, label))])
    if (images === null || labels === null) return null
    const cases: FoundCase[] = []
    const findings: Finding[] = []
    for (const [stem, file] of images) {
      const partner = labels.get(stem)
      const { subject, columns } = subjectOfName(stem)
      if (partner === undefined) {
        findings.push({
          level: 'warning',
          code: 'IMAGE_WITHOUT_LABEL',
          message: `${image}/${file} has no label named ${stem}.* in ${label}/`,
          subject,
        })
        continue
      }
      cases.push({ subject, image: join(source, image, file), label: join(source, label, partner), columns })
    }
    for (const [stem, file] of labels) {
      if (images.has(stem)) continue
      findings.push({
        level: 'warning',
        code: 'LABEL_WITHOUT_IMAGE',
        message: `${label}/${file} has no image named ${stem}.* in ${image}/`,
        subject: subjectOfName(stem).subject,
      })
    }
    return { cases, findings }
  },
}

async function volumesByStem(folder: string): Promise<Map<string, string> | null> {
  const listing = await listFolder(folder)
  if (listing === null) return null
  const byStem = new Map<string, string>()
  for (const file of listing.files) {
    const stem = volumeStem(file)
    if (stem !== null && !byStem.has(stem)) byStem.set(stem, file)
  }
  return byStem
}
