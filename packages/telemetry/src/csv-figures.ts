import { csvCell } from '@meshfl/core'
import type { Figures } from './figures.js'

const COLUMNS = ['time', 'round', 'site', 'phase', 'loss', 'foreground_dice', 'samples', 'seconds']

/** The first line of metrics.csv. A column a class follows the others. */
export function csvHeader(classNames: readonly string[]): string {
  return line([...COLUMNS, ...classNames.map((name) => `dice ${name}`)])
}

/** A line of metrics.csv. An empty cell: no value; an empty site: the global model. */
export function csvLine(figures: Figures, classNames: readonly string[]): string {
  const { time, round, site, phase, loss, foregroundDice, samples, seconds, dicePerClass } = figures
  const numbers = [loss, foregroundDice, samples, seconds, ...classNames.map((name) => dicePerClass[name])]
  // The columns that are numbers are written as such: a minus is no formula.
  return `${[time, `${round}`, site ?? '', phase].map(csvCell).join(',')},${numbers.map((n) => n ?? '').join(',')}\n`
}

const line = (cells: readonly string[]): string => `${cells.map(csvCell).join(',')}\n`
