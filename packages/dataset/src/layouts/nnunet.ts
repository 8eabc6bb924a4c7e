import { join } from 'node:path'
import type { Finding } from '../manifest.js'
import type { FoundCase, Layout } from './layout.js'
import { subjectOfName } from './subject-of-name.js'
import { listFolder, volumeStem } from './volume-file.js'

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
    const scans = byCase(images.files, `_${image}`)
    const partners = byCase(labels.files, '')
    const cases: FoundCase[] = []
    const findings: Finding[] = []
    for (const [name, file] of scans) {
      const label = partners.get(name)
      const { subject, columns } = subjectOfName(name)
      if (label === undefined) {
        const message = `imagesTr/${file} has no label named ${name}.* in labelsTr/`
        findings.push({ level: 'warning', code: 'IMAGE_WITHOUT_LABEL', message, subject })
        continue
      }
      cases.push({
        subject,
        image: join(source, 'imagesTr', file),
        label: join(source, 'labelsTr', label),
        columns,
        ...(names === undefined ? {} : { names }),
      })
    }
    for (const [name, file] of partners) {
      if (scans.has(name)) continue
      const { subject } = subjectOfName(name)
      const message = `labelsTr/${file} has no image named ${name}_${image}.* in imagesTr/`
      findings.push({ level: 'warning', code: 'LABEL_WITHOUT_IMAGE', message, subject })
    }
    return { cases, findings }
  },
}

function byCase(files: readonly string[], suffix: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const file of files) {
    const stem = volumeStem(file)
    if (!stem?.endsWith(suffix) || stem.length === suffix.length) continue
    found.set(stem.slice(0, stem.length - suffix.length), file)
  }
  return found
}
