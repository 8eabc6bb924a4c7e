import type { LabelInfo } from '../page-data.js'
import { element } from './element.js'

export interface ClassLegend {
  readonly root: HTMLElement
  /** Marks the class under the crosshair by its place among the values. */
  mark(rank: number | undefined): void
}

/** The classes of a label map: colour, name, volume. */
export function classLegend(
  info: LabelInfo,
  names: Readonly<Record<number, string>>,
  colour: (value: number) => string,
): ClassLegend {
  const rows = info.values.map(({ value, ml }, rank) => {
    if (rank === 0) return undefined
    const swatch = element('span', { class: 'swatch', 'aria-hidden': 'true' })
    swatch.style.background = colour(value)
    return element(
      'tr',
      {},
      element('th', { scope: 'row' }, swatch, className(value, names)),
      element('td', {}, ml >= 10 ? ml.toFixed(1) : ml.toFixed(2)),
    )
  })
  const root = element(
    'div',
    { class: 'legend', tabindex: 0, role: 'region', 'aria-label': 'Classes and volumes' },
    element(
      'table',
      {},
      element(
        'thead',
        {},
        element('tr', {}, element('th', { scope: 'col' }, 'class'), element('th', { scope: 'col' }, 'mL')),
      ),
      element('tbody', {}, ...rows),
    ),
  )
  return {
    root,
    mark(rank) {
      for (const [i, row] of rows.entries()) {
        if (i === rank) row?.setAttribute('aria-current', 'true')
        else row?.removeAttribute('aria-current')
      }
    },
  }
}

/** A class as a reader knows it, or its number. */
export function className(value: number, names: Readonly<Record<number, string>>): string {
  return names[value] ?? (value === 0 ? 'background' : String(value))
}
