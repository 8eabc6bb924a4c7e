import { FOREGROUND } from '../gates.js'
import { countText, intervalText, pText, ratioText, signedRatioText } from '../render/format.js'
import { html, type Markup } from '../render/html/markup.js'
import { dateText, pageShell } from '../render/html/page-shell.js'
import { rowsPlot } from '../render/html/strip-plot.js'
import { groupCells, groupedHead, scrollTable } from '../render/html/table.js'
import { type Experiment, type ExperimentArm, rowName } from './experiment.js'
import { COMPARISON_METHOD, enginesText, howText, scoredText } from './words.js'

/** experiment.html: one file that needs no network and runs no script. */
export function renderExperimentPage(experiment: Experiment): string {
  const { dataset, split, arms, seeds, notes } = experiment
  return pageShell(
    `${dataset.name}, ${split} split: experiment`,
    experiment.tool,
    html`<header><p class="kicker">Experiment</p><h1>${dataset.name} <small>${split} split</small></h1><p class="meta"><span><b>${countText(arms.length, 'arm')}</b></span><span><b>${countText(seeds.length, 'seed')}</b></span><span>${scoredText(experiment)}</span><span>${dateText(experiment.created)}</span></p></header>
${notes.map((note) => html`<p class="notice" role="note">${note}</p>`)}
<section aria-labelledby="arms"><h2 id="arms">Foreground Dice by arm</h2><p class="lead">A dot is one training, scored on all cases.</p>${plot(arms)}${armTable(experiment)}</section>
${comparisons(experiment)}
<section aria-labelledby="runs"><h2 id="runs">Trainings</h2><p class="lead">Each has its own report in its folder.</p>${runTable(experiment)}</section>`,
  )
}

function plot(arms: readonly ExperimentArm[]): Markup {
  const rows = arms.map(({ name, runs, dice }) => ({
    label: name,
    key: '',
    points: runs.flatMap(({ seed, dice: { [FOREGROUND]: value } }) =>
      value == null ? [] : [{ name: `seed ${seed}`, value }],
    ),
    middle: dice[FOREGROUND]!.mean,
    versus: [],
  }))
  return rowsPlot(rows, { dot: 'training', middle: 'mean' })
}

function armTable({ arms, rows }: Experiment): Markup {
  return scrollTable(
    'Mean Dice over the seeds, by arm',
    groupedHead(
      [html`<th scope="col" class="name" rowspan="2">Arm</th>`, html`<th scope="col" rowspan="2">seeds</th>`],
      rows.map((row) => ({ heading: rowName(row), columns: ['mean', 'sd', 'min', 'max'] })),
    ),
    arms.map(
      ({ name, how, dataset, runs, dice }) =>
        html`<tr><th scope="row" title="${howText(how)} on ${dataset}">${name}</th><td>${runs.length}</td>${rows.map(
          (row) => {
            const { mean, sd, min, max } = dice[row]!
            return groupCells([mean, sd, min, max].map(ratioText))
          },
        )}</tr>`,
    ),
  )
}

function comparisons({ arms, rows }: Experiment): Markup | undefined {
  const [first, ...others] = arms
  if (others.length === 0) return undefined
  const table = scrollTable(
    `Differences from ${first!.name}`,
    groupedHead(
      [html`<th scope="col" class="name" rowspan="2">Arm</th>`],
      rows.map((row) => ({ heading: rowName(row), columns: ['difference', '95 % interval', 'better', 'worse', 'p'] })),
    ),
    others.map(
      ({ name, differences }) =>
        html`<tr><th scope="row">${name}</th>${differences!.map(({ difference, ci95, better, worse, pHolm }) =>
          groupCells([
            signedRatioText(difference),
            intervalText(ci95, true),
            ...[`${better}`, `${worse}`, pText(pHolm)],
          ]),
        )}</tr>`,
    ),
  )
  return html`<section aria-labelledby="comparisons"><h2 id="comparisons">Against ${first!.name}</h2><p class="lead">${COMPARISON_METHOD}</p>${table}</section>`
}

function runTable({ arms, rows, split }: Experiment): Markup {
  return scrollTable(
    'Every training',
    html`<thead><tr><th scope="col" class="name">Arm</th>${['seed', 'how', 'rounds', ...rows.map(rowName), 'engine'].map((text) => html`<th scope="col">${text}</th>`)}<th scope="col" class="name">folder</th><th scope="col" class="name">model (SHA-256)</th></tr></thead>`,
    arms.flatMap(({ name, how, runs }) =>
      runs.map(
        ({ seed, rounds, dice, path, modelSha256, engines }) =>
          html`<tr><th scope="row">${name}</th>${[`${seed}`, howText(how), `${rounds}`, ...rows.map((row) => ratioText(dice[row])), enginesText({ engines })].map((text) => html`<td>${text}</td>`)}<td class="name"><a href="${reportLink(path, split)}">${path}</a></td><td class="name"><code>${modelSha256.slice(0, 12)}</code></td></tr>`,
      ),
    ),
  )
}

/** Of the report of a run, from the experiment's page. */
function reportLink(path: string, split: string): string {
  const folders = [...path.split(/[\\/]/), `report-${split}`].map(encodeURIComponent)
  return `./${folders.join('/')}/report.html`
}
