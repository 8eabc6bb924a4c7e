import { worstFirst } from '../../case-metrics.js'
import { metricsOf } from '../../metrics/registry.js'
import { isRepeatedTest, type Report } from '../../report.js'
import type { CaseSlices } from '../../slices/slice-images.js'
import {
  BASELINE_METHOD,
  countText,
  emptyText,
  intervalText,
  meshflDiceName,
  ratioText,
  repeatedText,
  reportCasesText,
  surfaceText,
} from '../format.js'
import { baselineSection } from './baseline-section.js'
import { classKey } from './class-key.js'
import { curves } from './curves.js'
import { crossSiteSection, trafficSection } from './federation-section.js'
import { html, type Markup } from './markup.js'
import { dateText, pageShell } from './page-shell.js'
import { type ShownCase, sliceSection } from './slice-section.js'
import { stripPlot } from './strip-plot.js'
import { caseTable, classTable, siteSection, surfaceTable } from './tables.js'

/** More classes than this have their Dice in the table only. */
const MOST_FIGURES = 5

/**
 * report.html: one file that needs no network and runs no script; its content policy forbids both.
 * @param slices of any of the report's cases, in any order
 */
export function renderHtml(report: Report, slices: readonly CaseSlices[]): string {
  const bySubject = new Map(slices.map((one) => [one.subject, one]))
  const shown = worstFirst(report.cases).flatMap((metrics, i): ShownCase[] => {
    const found = bySubject.get(metrics.subject)
    return found ? [{ anchor: `case-${i + 1}`, metrics, slices: found }] : []
  })
  const anchors = new Map(shown.map((one) => [one.metrics.subject, one.anchor]))
  const title = `${report.dataset.name}${report.split === null ? '' : `, ${report.split} split`}: ${report.cases.length > 0 ? 'segmentation' : 'training'} report`
  return pageShell(
    title,
    report.tool,
    html`${header(report)}
${notices(report)}
${report.cases.length > 0 ? figures(report) : undefined}
${gates(report)}
${baselineSection(report)}
${report.cases.length > 0 ? cases(report, anchors) : undefined}
${sliceSection(report, shown)}
${curves(report)}
${crossSiteSection(report)}
${siteSection(report)}
${trafficSection(report)}
${method(report)}`,
  )
}

function header(report: Report): Markup {
  const split = report.split === null ? undefined : html` <small>${report.split} split</small>`
  return html`<header><p class="kicker">${report.cases.length > 0 ? 'Segmentation report' : 'Training report'}</p><h1>${report.dataset.name}${split}</h1><p class="meta"><span><b>${report.cases.length > 0 ? reportCasesText(report) : 'no case scored'}</b></span>${
    report.model ? html`<span>model <b>${report.model.name}</b></span>` : html`<span>predictions from a folder</span>`
  }${report.engine ? html`<span><b>${report.engine.name}</b> on ${report.engine.device}</span>` : undefined}<span>${dateText(report.created)}</span></p></header>`
}

function notices(report: Report): Markup[] {
  const notices = [...(isRepeatedTest(report) ? [repeatedText(report)] : []), ...(report.notes ?? [])]
  return notices.map((notice) => html`<p class="notice" role="note">${notice}</p>`)
}

function figures(report: Report): Markup {
  const { foregroundDice, perClass } = report.summary
  const spread =
    foregroundDice.cases < 2
      ? foregroundDice.cases === 0
        ? 'no case has a value'
        : 'one case'
      : `${foregroundDice.ci95 ? `95 % interval ${intervalText(foregroundDice.ci95)}, ` : ''}sd ${ratioText(foregroundDice.sd)}, from ${ratioText(foregroundDice.min)} to ${ratioText(foregroundDice.max)}`
  const leftOut = foregroundDice.leftOut > 0 ? `; ${countText(foregroundDice.leftOut, 'case')} left out` : ''
  return html`<dl class="figures"><div class="figure"><dt>Foreground Dice</dt><dd class="value">${ratioText(foregroundDice.mean)}</dd><dd class="detail">mean without background; ${spread}${leftOut}</dd></div>${report.classes
    .slice(1, 1 + MOST_FIGURES)
    .map(({ name }, index) => {
      const dice = perClass[name]?.dice
      return html`<div class="figure"><dt class="${classKey(index + 1)}"><span class="swatch"></span>${name}</dt><dd class="value">${ratioText(dice?.mean)}</dd><dd class="detail">${dice?.sd == null ? 'Dice' : `Dice, sd ${ratioText(dice.sd)}`}</dd></div>`
    })}${(report.comparisons ?? []).map((one) => {
    const [ours, theirs] = [foregroundDice.mean, one.dice.foregroundDice]
    const gain = ours === null || theirs === null ? undefined : ours - theirs
    const words = gain === undefined ? '' : `the model is ${Math.abs(gain).toFixed(3)} ${gain < 0 ? 'worse' : 'better'}`
    return html`<div class="figure"><dt>${one.name}</dt><dd class="value">${ratioText(theirs)}</dd><dd class="detail">${[one.note ?? 'foreground Dice', words].filter(Boolean).join('; ')}</dd></div>`
  })}</dl>`
}

function gates(report: Report): Markup | undefined {
  if (report.gates.length === 0) return undefined
  return html`<ul class="gates" aria-label="Gates">${report.gates.map(
    (gate) =>
      html`<li class="${gate.outcome}"><b>${gate.outcome === 'passed' ? '✓ Passed' : '✗ Failed'}</b><span>${gate.reason}</span></li>`,
  )}</ul>`
}

function cases(report: Report, anchors: ReadonlyMap<string, string>): Markup {
  return html`<section aria-labelledby="classes"><h2 id="classes">Dice by class</h2>${stripPlot(report)}${classTable(report)}</section>
${surfaces(report)}
<section aria-labelledby="cases"><h2 id="cases">Cases</h2><p class="lead">Worst first. Volumes in millilitres; an error is the predicted minus the true volume.${report.conventions.surface ? ' HD95 in millimetres.' : ''}</p>${caseTable(report, anchors)}</section>`
}

function surfaces(report: Report): Markup | undefined {
  const { surface } = report.conventions
  if (surface === undefined) return undefined
  return html`<section aria-labelledby="surfaces"><h2 id="surfaces">Surfaces</h2><p class="lead">How far the surfaces of prediction and truth lie apart, and the part of them that lies within ${surface.toleranceMm} mm (NSD), by the convention ${surface.kind}.</p>${surfaceTable(report)}</section>`
}

function method(report: Report): Markup {
  const fact = (name: string, value: Markup | string | undefined): Markup | undefined =>
    value === undefined ? undefined : html`<dt>${name}</dt><dd>${value}</dd>`
  const { engine, model, dataset } = report
  const { surface } = report.conventions
  const mean = report.summary.meshflDice.mean
  const measured =
    report.cases.length === 0
      ? []
      : [
          fact(
            'Foreground Dice',
            'For each case the mean Dice of all classes but background; then the mean over cases.',
          ),
          fact(
            meshflDiceName(report),
            `${ratioText(mean)}. The mean over all classes, background among them, in which a class that is in neither volume counts 0. Background is easy, so it is nearly always higher than the foreground Dice and must not be compared with it.`,
          ),
          fact(
            'Counts',
            'TP, FP, FN, TN: voxels of a case that are rightly this class, wrongly this class, wrongly another, rightly another.',
          ),
          ...metricsOf(surface).map((metric) => fact(metric.name, metric.definition)),
          fact('Surfaces', surface && surfaceText(surface)),
          fact('Empty classes', emptyText(report)),
          fact('Spread', 'sd is the standard deviation of the sample (n − 1).'),
          fact(
            'Interval',
            'A 95 % confidence interval of the mean over cases like these: bootstrap over the subjects, each drawn with all of its cases, bias-corrected and accelerated (BCa). Not given for fewer than ten subjects; of fewer than some twenty it is somewhat too narrow.',
          ),
          fact('Baseline', report.baseline ? BASELINE_METHOD : undefined),
        ]
  return html`<section aria-labelledby="method"><h2 id="method">${report.cases.length === 0 ? 'What this is of' : 'How this was measured'}</h2><dl class="facts">${[
    ...measured,
    fact('Model', model ? html`${model.name}, SHA-256 <code>${model.sha256}</code>` : undefined),
    fact(
      'Engine',
      engine
        ? [engine.name, engine.device, engine.instructionSet, engine.precision].filter(Boolean).join(', ')
        : undefined,
    ),
    fact('Dataset', dataset.sha256 ? html`${dataset.name}, SHA-256 <code>${dataset.sha256}</code>` : dataset.name),
    fact('Classes', report.classes.map((one) => `${one.value} ${one.name}`).join(', ')),
    fact(
      'Evaluations',
      report.split === null ? undefined : `no. ${report.evaluations} of this model on the ${report.split} split`,
    ),
    fact('Made', `${dateText(report.created)} by ${report.tool}`),
  ].filter((one) => one !== undefined)}</dl></section>`
}
