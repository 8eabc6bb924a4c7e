import { formatFigure } from './figures.js'
import type { FrameOptions } from './frame.js'
import type { Tone } from './palette.js'
import { drawSparkline, type Scale, scaleOf } from './sparkline.js'
import { cutText, displayWidth, fitText } from './text.js'
import type { RoundPoint, ViewState } from './view-state.js'

const LABEL = 7
const FIGURE = 8
const GAP = 3

type Series = (point: RoundPoint) => number | null

/**
 * Loss and foreground Dice over the rounds, side by side: train above valid, both on one scale so that they compare,
 * each with its last figure. The head gives the scale. 1 + 2 * height lines.
 */
export function drawCurves(state: ViewState, options: FrameOptions, height: number): string[] {
  const { columns, paint, glyphs } = options
  const { history } = state
  const twice = columns >= LABEL + 2 * (FIGURE + 6) + GAP
  const width = Math.floor((columns - LABEL - (twice ? GAP : 0)) / (twice ? 2 : 1)) - FIGURE
  if (width < 4) return []
  const dice = panel(
    'foreground Dice',
    history,
    (point) => point.trainDice,
    (point) => point.validDice,
  )
  const loss = panel(
    'loss',
    history,
    (point) => point.trainLoss,
    (point) => point.validLoss,
  )
  // A short run fills the width at its end; a long one takes a column a round.
  const repeat = Math.max(1, Math.floor(width / Math.max(1, state.rounds, history.length)))
  const panels = twice ? [loss, dice] : [dice]

  const heads = panels.map(({ name, scale }) => {
    const range =
      scale === null ? '' : `${formatFigure(scale.low, 3, glyphs.dash)} to ${formatFigure(scale.high, 3, glyphs.dash)}`
    const space = width + FIGURE - displayWidth(range)
    return space > name.length ? fitText(name, space) + range : fitText(name, width + FIGURE)
  })
  const lines = [paint('dim', cutText(`${' '.repeat(LABEL)}${heads.join(' '.repeat(GAP))}`, columns))]
  for (const [label, tone, index] of [
    ['train', 'cyan', 0],
    ['valid', 'magenta', 1],
  ] as const satisfies readonly (readonly [string, Tone, number])[]) {
    const drawn = panels.map(({ series, scale }) => drawSparkline(series[index]!, scale, width, height, glyphs, repeat))
    for (let row = 0; row < height; row++) {
      // A curve stands on its last line, where its name and its figure are.
      const bottom = row === height - 1
      const cells = panels.map(({ series }, at) => {
        const figure = bottom ? formatFigure(series[index]!.at(-1), 4, glyphs.dash) : ''
        return paint(tone, fitText(drawn[at]![row]!, width)) + fitText(figure, FIGURE, 'right')
      })
      lines.push(fitText(bottom ? label : '', LABEL) + cells.join(' '.repeat(GAP)))
    }
  }
  return lines
}

function panel(name: string, history: readonly RoundPoint[], train: Series, valid: Series) {
  const series = [history.map(train), history.map(valid)] as const
  const scale: Scale | null = scaleOf(...series)
  return { name, series, scale }
}
