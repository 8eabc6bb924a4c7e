import { join } from 'node:path'
import { readVolume, type Volume } from '@meshfl/volume'
import type { Case, DatasetManifest, Finding } from '../manifest.js'
import { casePicture, classColour } from './case-picture.js'
import { encodePalettePng } from './palette-png.js'

/** More pictures than this make a page that no browser likes; cases with findings come first. */
const MAX_PICTURES = 300

/**
 * The page that a person looks at before training: what was found, and every case in three slices with its label's outlines.
 * One file, no network.
 * @param folder where the volumes of the manifest are
 */
export async function qcPage(
  manifest: DatasetManifest,
  folder: string,
  onCase: (done: number, total: number) => void = () => undefined,
): Promise<string> {
  const marked = new Set(manifest.findings.map(({ subject }) => subject))
  const order = [
    ...manifest.cases.filter(({ subject }) => marked.has(subject)),
    ...manifest.cases.filter(({ subject }) => !marked.has(subject)),
  ].slice(0, MAX_PICTURES)
  const figures: string[] = []
  for (const item of order) {
    figures.push(await figure(item, manifest, folder))
    onCase(figures.length, order.length)
  }
  const { shape, voxelSizeMm, mode } = manifest.conform
  const count = (split: string): number => manifest.cases.filter((item) => item.split === split).length
  const left = manifest.cases.length - order.length
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(manifest.name)}: quality control</title>
<style>${STYLE}</style>
<h1>${escaped(manifest.name)}</h1>
<p>${manifest.cases.length} cases: ${manifest.folds === undefined ? `${count('train')} train, ${count('valid')} valid` : `${count('train')} in ${manifest.folds} folds`}, ${count('test')} test${manifest.sites.length > 0 ? `, ${manifest.sites.length} sites` : ''}.
${shape.join(' x ')} voxels of ${voxelSizeMm} mm (${mode}), label map ${escaped(manifest.labelMap.name)}, seed ${manifest.seed}.</p>
<p>${legend(manifest)}</p>
${findingsTable(manifest.findings)}
<h2>Cases</h2>
<p>Axial, coronal, sagittal; the patient's right is on the left.${left > 0 ? ` ${left} more cases are not shown.` : ''}</p>
${figures.join('\n')}
</html>
`
}

const STYLE = `
:root { color-scheme: dark; font: 15px/1.5 system-ui, sans-serif; background: #111; color: #ddd }
body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
figure { display: inline-block; margin: 0 1rem 1.5rem 0 } figcaption { color: #aaa; max-width: 30rem }
img { width: 30rem; max-width: 100%; image-rendering: auto; background: #000 }
.error { color: #ff8a80 } .warning { color: #ffd180 } .swatch { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em }
`

async function figure(item: Case, manifest: DatasetManifest, folder: string): Promise<string> {
  const [image, label] = await Promise.all([
    readVolume(join(folder, item.image), { kind: 'image' }),
    readVolume(join(folder, item.label), { kind: 'label' }),
  ])
  const png = encodePalettePng(casePicture(image as Volume<Uint8Array>, label as Volume<Uint8Array>))
  const millilitres = manifest.conform.voxelSizeMm ** 3 / 1000
  const volumes = manifest.labelMap.classes
    .filter(({ value }) => value > 0 && manifest.labelMap.classes.length <= 4)
    .map(({ value, name }) => `${escaped(name)} ${Math.round((item.voxels[value] ?? 0) * millilitres)} mL`)
  const found = manifest.findings
    .filter(({ subject }) => subject === item.subject)
    .map(({ level, message }) => `<br><span class="${level}">${escaped(message)}</span>`)
  const where = [item.fold === undefined ? item.split : `fold ${item.fold}`, item.site ?? [], volumes].flat().join(', ')
  return `<figure><img alt="slices of ${escaped(item.subject)}" src="data:image/png;base64,${png.toString('base64')}">
<figcaption><b>${escaped(item.subject)}</b> ${where}${found.join('')}</figcaption></figure>`
}

function legend(manifest: DatasetManifest): string {
  return manifest.labelMap.classes
    .filter(({ value }) => value > 0)
    .map(({ value, name }) => {
      return `<span class="swatch" style="background: rgb(${classColour(value).join(' ')})"></span>${escaped(name)}`
    })
    .join('')
}

function findingsTable(findings: readonly Finding[]): string {
  if (findings.length === 0) return '<p>Nothing was found amiss.</p>'
  const rows = findings.map(
    ({ level, code, message, subject = '' }) =>
      `<tr><td class="${level}">${level}<td>${escaped(subject)}<td>${escaped(message)}<td><code>${escaped(code)}</code>`,
  )
  return `<h2>Findings</h2>\n<table><tr><th>Level<th>Subject<th>Finding<th>Code\n${rows.join('\n')}\n</table>`
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
