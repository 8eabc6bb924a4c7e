import { type Curve, plotGeometry } from '../curve-geometry.js'
import type { RunFigures } from '../page-data.js'
import { element, svg } from './element.js'

const DASHES = ['', '6 4', '2 4', '10 4', '10 4 2 4', '1 5', '14 4', '4 2 1 2']
const BOX = { width: 400, height: 180 }
const MARGIN = { left: 38, top: 8, right: 8, bottom: 24 }
const TRAIN = '#9ca7b1'

interface Line extends Curve {
  colour: string
  dashes?: string
  isDot?: boolean
}

/** The curves of a run, drawn anew whenever there are new figures. */
export function runView(colours: readonly string[]): { root: HTMLElement; show(figures: RunFigures): void } {
  const root = element('section', { class: 'run', 'aria-label': 'Run' })
  return {
    root,
    show(figures) {
      const { points, siteCurves, moreSites, classNames, best } = figures
      const line = (name: string, key: 'trainLoss' | 'validLoss' | 'validForegroundDice', colour: string): Line => ({
        name,
        colour,
        points: points.map((point) => ({ round: point.round, value: point[key] })),
      })
      // Background is easy, and would be above all others.
      const classes = classNames.map((name, i) => ({ name, i })).filter(({ name }) => name !== 'background')
      const dice: Line[] = [
        line('foreground', 'validForegroundDice', '#e4e8eb'),
        ...classes.map(({ name, i }, k) => ({
          name,
          colour: colours[k % colours.length]!,
          dashes: DASHES[(k % (DASHES.length - 1)) + 1]!,
          points: points.map((point) => ({ round: point.round, value: point.validDice[i] ?? null })),
        })),
      ]
      if (best)
        dice.push({
          ...{ name: 'best round', colour: '#e4e8eb', isDot: true },
          points: [{ round: best.round, value: best.foregroundDice }],
        })
      const loss = [
        line('validation', 'validLoss', colours[0]!),
        { ...line('training', 'trainLoss', TRAIN), dashes: '6 4' },
      ]
      const perSite = (key: 'trainLoss' | 'validForegroundDice'): Line[] =>
        siteCurves.map(({ site, points: own }, i) => ({
          name: site,
          colour: colours[i % colours.length]!,
          dashes: DASHES[i]!,
          points: own.map((point) => ({ round: point.round, value: point[key] })),
        }))
      root.replaceChildren(
        facts(figures),
        points.length === 0 && siteCurves.length === 0
          ? element('p', { class: 'aside' }, 'No round is done yet.')
          : element(
              'div',
              { class: 'plots' },
              plot('Dice, validation', dice, [0, 1]),
              plot('Loss', loss),
              plot('Foreground Dice by site, validation', perSite('validForegroundDice'), [0, 1]),
              plot(`Loss by site, training${moreSites > 0 ? ` (${moreSites} more sites)` : ''}`, perSite('trainLoss')),
            ),
      )
    },
  }
}

function facts({
  command,
  engine,
  round,
  rounds,
  best,
  sites,
  secondsLeft,
  lastRoundAt,
  parametersSha256,
}: RunFigures): HTMLElement {
  const one = (name: string, value: string | null): HTMLElement | null =>
    value === null ? null : element('div', {}, element('dt', {}, name), element('dd', {}, value))
  const isDone = rounds !== null && round >= rounds
  return element(
    'dl',
    { class: 'facts' },
    one('rounds', rounds === null ? String(round) : `${round} of ${rounds}`),
    one('best', best && `${best.foregroundDice.toFixed(4)} in round ${best.round}`),
    one('sites', sites === null || command === 'train' ? null : String(sites)),
    one('engine', engine),
    one('time left', isDone || secondsLeft === null ? null : duration(secondsLeft)),
    one('last round', isDone || lastRoundAt === null ? null : `at ${new Date(lastRoundAt).toLocaleString()}`),
    one('parameters', parametersSha256 && `${parametersSha256.slice(0, 12)}…`),
  )
}

function duration(seconds: number): string {
  const minutes = Math.round(seconds / 60)
  if (minutes < 1) return `${Math.round(seconds)} s`
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

function plot(title: string, lines: readonly Line[], range?: readonly [number, number]): HTMLElement | null {
  const drawn = plotGeometry(lines, range ? { ...BOX, range } : BOX)
  if (drawn === undefined) return null
  const { width, height } = BOX
  const ends = lines.flatMap(({ name, points }) => {
    const value = points.findLast((point) => point.value !== null)?.value
    return value === null || value === undefined ? [] : [`${name} ${value.toFixed(3)}`]
  })
  const path = ({ colour, dashes }: Line, d: string): SVGPathElement =>
    svg('path', { d, stroke: colour, 'stroke-dasharray': dashes || null })
  const dot = ({ colour }: Line, d: string): SVGPathElement => svg('path', { d, stroke: colour, class: 'dot' })
  return element(
    'figure',
    {},
    element('h2', {}, title),
    svg(
      'svg',
      {
        viewBox: `${-MARGIN.left} ${-MARGIN.top} ${width + MARGIN.left + MARGIN.right} ${height + MARGIN.top + MARGIN.bottom}`,
        role: 'img',
        'aria-label': `${title} by round; at the end: ${ends.join(', ')}`,
      },
      ...drawn.yTicks.flatMap(({ y, text }) => [
        svg('line', { class: 'grid', x1: 0, x2: width, y1: y, y2: y }),
        svg('text', { x: -8, y: y + 4, 'text-anchor': 'end' }, text),
      ]),
      ...drawn.xTicks.map(({ x, text }) => svg('text', { x, y: height + 18, 'text-anchor': 'middle' }, text)),
      ...drawn.paths.map((d, i) => (d === '' ? null : path(lines[i]!, d))),
      ...drawn.dots.map((d, i) => (d === '' ? null : dot(lines[i]!, d))),
    ),
    element(
      'ul',
      { class: 'key' },
      // A site without validation cases has no line.
      ...lines
        .filter((_, i) => drawn.paths[i] !== '' || drawn.dots[i] !== '')
        .map((one) =>
          element(
            'li',
            {},
            svg(
              'svg',
              { viewBox: '0 0 28 10', 'aria-hidden': 'true' },
              one.isDot ? dot(one, 'M14 5h0') : path(one, 'M1 5h26'),
            ),
            one.name,
          ),
        ),
    ),
  )
}
