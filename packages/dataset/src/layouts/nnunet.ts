import { join } from 'node:path'
import type { FoundCase, FoundFinding, Layout } from './layout.js'
import { subjectOfName } from './subject-of-name.js'
import { listFolder, sameName, volumesByStem } from './volume-file.js'

/** An nnU-Net dataset: `imagesTr/<case>_0000.*` and `labelsTr/<case>.*`, the labels' names in its dataset.json. */
export const nnunetLayout: Layout = {
  name: 'nnunet',
  looksFor: ({ image = '0000' }) => `imagesTr/<case>_${image}.nii.gz and labelsTr/<case>.nii.gz`,
  async find(source, { image = '0000' }) {
    const [root, images, labels] = await Promise.all(
      ['', 'imagesTr', 'labelsTr'].map((folder) => listFolder(join(source, folder))),
    )
    if (!root || !images || !labels) return null
    const names = root.files.includes('dataset.json') ? join(source, 'dataset.json') : undefined
    const scans = volumesByStem(images.files, `_${image}`)
    const partners = volumesByStem(labels.files)
    const cases: FoundCase[] = []
    const findings: FoundFinding[] = []
    for (const [name, files] of scans) {
      const segmentations = partners.get(name)
      const { subject, columns } = subjectOfName(name)
      if (segmentations === undefined) {
        const message = `imagesTr/${files[0]} has no label named ${name}.* in labelsTr/`
        findings.push({ level: 'warning', code: 'IMAGE_WITHOUT_LABEL', message, subject })
        continue
      }
      const double = sameName(subject, [
        ['imagesTr', files],
        ['labelsTr', segmentations],
      ])
      if (double !== null) {
        findings.push(double)
        continue
      }
      cases.push({
        subject,
        image: join(source, 'imagesTr', files[0]!),
        label: join(source, 'labelsTr', segmentations[0]!),
        columns,
        ...(names === undefined ? {} : { names }),
      })
    }
    for (const [name, files] of partners) {
      if (scans.has(name)) continue
      const { subject } = subjectOfName(name)
      const message = `labelsTr/${files[0]} has no image named ${name}_${image}.* in imagesTr/`
      findings.push({ level: 'warning', code: 'LABEL_WITHOUT_IMAGE', message, subject })
    }
    return { cases, findings }
  },
}
