import type { BenchResult } from './bench-case.js'
import { entrantName, formatSeconds } from './describe-bench.js'
import { latestOf } from './figures-tables.js'

const WIDTH = 460
const HEIGHT = 360
const MARGIN = { left: 62, right: 16, top: 34, bottom: 46 }
/** Okabe and Ito's colours, told apart by the colour-blind too. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000']

/** Seconds against voxels, both in powers of ten, a panel for the training step and one for the forward pass: of the fewest channels. */
export function plotFigures(results: readonly BenchResult[]): string {
  const measured = latestOf(results).filter(({ medianSeconds, maxMemoryBytes }) => medianSeconds && !maxMemoryBytes)
  const channels = Math.min(...measured.map((result) => result.channels))
  const drawn = measured.filter((result) => result.channels === channels).sort((a, b) => a.grid[0] - b.grid[0])
  const entrants = [...new Set(drawn.map(entrantName))]
  const panels = (['step', 'forward'] as const).map((task, i) => {
    const title = `${task === 'step' ? 'training step' : 'forward pass'}, ${channels} channels`
    return panel(
      drawn.filter((result) => result.case === task),
      entrants,
      title,
      i * WIDTH,
    )
  })
  const legend = entrants.map((name, i) => {
    const [x, y] = [MARGIN.left + (i % 3) * 280, HEIGHT + 16 + Math.floor(i / 3) * 20]
    return `<rect x="${x}" y="${y - 9}" width="18" height="4" fill="${colour(i)}"/><text x="${x + 24}" y="${y - 3}">${name}</text>`
  })
  const height = HEIGHT + 20 + 20 * Math.ceil(entrants.length / 3)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${2 * WIDTH} ${height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#fff"/>
${[...panels, ...legend].join('\n')}
</svg>
`
}

const colour = (index: number): string => COLOURS[index % COLOURS.length]!

function panel(results: readonly BenchResult[], entrants: readonly string[], title: string, left: number): string {
  if (results.length === 0) return ''
  const voxelsOf = ({ grid }: BenchResult): number => grid[0] * grid[1] * grid[2]
  const seconds = results.map(({ medianSeconds }) => medianSeconds!)
  const x = scale(
    Math.min(...results.map(voxelsOf)) / 1.3,
    Math.max(...results.map(voxelsOf)) * 1.3,
    MARGIN.left,
    WIDTH - MARGIN.right,
  )
  const y = scale(Math.min(...seconds) / 1.5, Math.max(...seconds) * 1.5, HEIGHT - MARGIN.bottom, MARGIN.top)
  const ticks = powersOfTen(Math.min(...seconds) / 1.5, Math.max(...seconds) * 1.5).map(
    (value) =>
      `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y(value)}" y2="${y(value)}" stroke="#ddd"/>` +
      `<text x="${MARGIN.left - 6}" y="${y(value) + 4}" text-anchor="end">${value} s</text>`,
  )
  const edges = [...new Set(results.map(({ grid }) => grid[0]))].map((edge) => {
    const at = x(edge ** 3).toFixed(1)
    return `<line x1="${at}" x2="${at}" y1="${MARGIN.top}" y2="${HEIGHT - MARGIN.bottom}" stroke="#eee"/><text x="${at}" y="${HEIGHT - MARGIN.bottom + 18}" text-anchor="middle">${edge}^3</text>`
  })
  const lines = entrants.map((name, i) => {
    const points = results
      .filter((result) => entrantName(result) === name)
      .map((one) => [x(voxelsOf(one)).toFixed(1), y(one.medianSeconds!).toFixed(1), one] as const)
    const path = points.map(([px, py]) => `${px},${py}`).join(' ')
    const dots = points.map(
      ([px, py, one]) =>
        `<circle cx="${px}" cy="${py}" r="3" fill="${colour(i)}"><title>${name}, ${one.grid[0]}^3: ${formatSeconds(one.medianSeconds!)} s</title></circle>`,
    )
    return `<polyline points="${path}" fill="none" stroke="${colour(i)}" stroke-width="2"/>${dots.join('')}`
  })
  return `<g transform="translate(${left} 0)">
<text x="${MARGIN.left}" y="20" font-weight="bold">${title}</text>
${[...ticks, ...edges, ...lines].join('\n')}
<text x="${(MARGIN.left + WIDTH - MARGIN.right) / 2}" y="${HEIGHT - 8}" text-anchor="middle">voxels</text>
</g>`
}

/** A logarithmic axis. */
function scale(low: number, high: number, from: number, to: number): (value: number) => number {
  return (value) => from + ((to - from) * Math.log(value / low)) / Math.log(high / low)
}

function powersOfTen(low: number, high: number): number[] {
  const ticks: number[] = []
  for (let power = Math.ceil(Math.log10(low)); 10 ** power <= high; power++) ticks.push(Number(`1e${power}`))
  return ticks
}
