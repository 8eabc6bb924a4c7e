import type { CaseMetrics } from '../../case-metrics.js'
import type { Report } from '../../report.js'
import { ERROR_KINDS } from '../../slices/palette.js'
import type { CaseSlices, PlaneSlices } from '../../slices/slice-images.js'
import { ratioText } from '../format.js'
import { classKey } from './class-key.js'
import { html, type Markup } from './markup.js'

/** Cases that are open when the page is; the others are a click away. */
const OPEN_CASES = 3

export interface ShownCase {
  anchor: string
  metrics: CaseMetrics
  slices: CaseSlices
}

/** image | truth | prediction | error in three planes, for every case that has slices, the worst first. */
export function sliceSection(report: Report, shown: readonly ShownCase[]): Markup | undefined {
  const first = shown[0]
  if (!first) return undefined
  const convention =
    first.slices.convention === 'radiological'
      ? "Radiological convention: the subject's right is on the left of the picture."
      : "Neurological convention: the subject's right is on the right of the picture."
  const rest = report.cases.length - shown.length
  return html`<section aria-labelledby="slices"><h2 id="slices">Slices</h2><p class="lead">Through the centre of mass of the true label, worst cases first${
    rest > 0 ? `; ${shown.length} of ${report.cases.length} cases` : ''
  }. ${convention}</p><ul class="key" aria-label="Colours">${report.classes
    .slice(1)
    .map(
      ({ name }, index) => html`<li class="${classKey(index + 1)}"><span class="swatch overlay"></span>${name}</li>`,
    )}<li>Errors:</li>${ERROR_KINDS.map(
    ({ name, meaning, colour }) =>
      html`<li title="${meaning}"><span class="swatch" style="background:${colour}"></span>${name}</li>`,
  )}</ul>${shown.map((one, i) => caseMarkup(report, one, i < OPEN_CASES))}</section>`
}

function caseMarkup(report: Report, { anchor, metrics, slices }: ShownCase, open: boolean): Markup {
  const width = Math.max(...slices.planes.map((plane) => plane.widthMm))
  const head = html`<summary><b>${metrics.subject}</b><span>foreground Dice ${ratioText(metrics.foregroundDice)}</span>${report.classes
    .slice(1, 5)
    .map(
      ({ name }, index) =>
        html`<span><i class="swatch overlay ${classKey(index + 1)}"></i>${name} ${ratioText(metrics.perClass[name]?.dice)}</span>`,
    )}</summary>`
  const body = slices.planes.map((plane) => planeMarkup(plane, metrics.subject, `${anchor}-${plane.plane}`, width))
  // The anchor is inside: a link to it opens the case.
  return html`<details class="case"${open ? html` open` : undefined}>${head}<div class="planes" id="${anchor}">${body}</div></details>`
}

function planeMarkup(plane: PlaneSlices, subject: string, id: string, width: number): Markup {
  const { widthMm, heightMm, edges } = plane
  // Each picture is stored once and used by up to four panels.
  const store = (name: string, png: Uint8Array, crisp: boolean): Markup =>
    html`<image id="${id}-${name}" class="${crisp ? 'crisp' : ''}" width="${widthMm}" height="${heightMm}" preserveAspectRatio="none" href="data:image/png;base64,${Buffer.from(png).toString('base64')}"/>`
  const panel = (caption: string, overlay: string): Markup => {
    const left = (widthMm - width) / 2 // all planes of a case have the same scale
    return html`<div class="panel"><svg viewBox="${left} 0 ${width} ${heightMm}" role="img" aria-label="${subject}, ${plane.plane} slice ${plane.slice}: ${caption}"><use href="#${id}-image"${
      overlay === 'error' ? html` class="dim"` : undefined
    }/>${overlay ? html`<use href="#${id}-${overlay}"/>` : undefined}</svg><span class="cap">${caption}</span><span class="e el" aria-hidden="true">${edges.left}</span><span class="e er" aria-hidden="true">${edges.right}</span><span class="e et" aria-hidden="true">${edges.top}</span><span class="e eb" aria-hidden="true">${edges.bottom}</span></div>`
  }
  const wrong = plane.labelPixels === 0 ? 0 : (100 * plane.wrongPixels) / plane.labelPixels
  return html`<figure><figcaption><b>${plane.plane[0]!.toUpperCase() + plane.plane.slice(1)}</b> slice ${plane.slice}, ${wrong.toFixed(1)} % of the labelled pixels differ</figcaption><svg class="store" aria-hidden="true"><defs>${store('image', plane.image, false)}${store('truth', plane.truth, true)}${store('prediction', plane.prediction, true)}${store('error', plane.error, true)}</defs></svg><div class="panels">${panel('Image', '')}${panel('Truth', 'truth')}${panel('Prediction', 'prediction')}${panel('Error', 'error')}</div></figure>`
}
