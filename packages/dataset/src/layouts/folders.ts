import { join } from 'node:path'
import type { FoundCase, FoundFinding, Layout } from './layout.js'
import { subjectOfName } from './subject-of-name.js'
import { listFolder, sameName, volumesByStem } from './volume-file.js'

/** Two folders side by side, `images/` and `labels/`, whose files are paired by their names without extension. */
export const foldersLayout: Layout = {
  name: 'folders',
  looksFor: ({ image = 'images', label = 'labels' }) => `${image}/ and ${label}/ with files of the same name`,
  async find(source, { image = 'images', label = 'labels' }) {
    const [scans, segmentations] = await Promise.all([image, label].map((folder) => listFolder(join(source, folder))))
    if (!scans || !segmentations) return null
    const [images, labels] = [volumesByStem(scans.files), volumesByStem(segmentations.files)]
    const cases: FoundCase[] = []
    const findings: FoundFinding[] = []
    for (const [stem, files] of images) {
      const partners = labels.get(stem)
      const { subject, columns } = subjectOfName(stem)
      if (partners === undefined) {
        findings.push({
          level: 'warning',
          code: 'IMAGE_WITHOUT_LABEL',
          message: `${image}/${files[0]} has no label named ${stem}.* in ${label}/`,
          subject,
        })
        continue
      }
      const double = sameName(subject, [
        [image, files],
        [label, partners],
      ])
      if (double === null)
        cases.push({
          subject,
          image: join(source, image, files[0]!),
          label: join(source, label, partners[0]!),
          columns,
        })
      else findings.push(double)
    }
    for (const [stem, files] of labels) {
      if (images.has(stem)) continue
      findings.push({
        level: 'warning',
        code: 'LABEL_WITHOUT_IMAGE',
        message: `${label}/${files[0]} has no image named ${stem}.* in ${image}/`,
        subject: subjectOfName(stem).subject,
      })
    }
    return { cases, findings }
  },
}
