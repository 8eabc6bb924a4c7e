import { element } from './element.js'

const KEYS: readonly (readonly [keys: readonly string[], what: string])[] = [
  [['←', '→'], 'crosshair left, right'],
  [['↑', '↓'], 'crosshair front, back'],
  [['PgUp', 'PgDn'], 'crosshair up, down'],
  [['1', '2', '3', '4'], 'all planes, axial, coronal, sagittal'],
  [['o'], 'labels on and off'],
  [['b'], 'next label map (A/B)'],
  [['[', ']'], 'opacity'],
  [['r'], 'left on the left, or on the right'],
  [['n', 'p'], 'next, previous case'],
]

/** Steps of the crosshair in voxels: right, anterior, superior. */
export const MOVES: Record<string, [number, number, number]> = {
  ArrowLeft: [-1, 0, 0],
  ArrowRight: [1, 0, 0],
  ArrowUp: [0, 1, 0],
  ArrowDown: [0, -1, 0],
  PageUp: [0, 0, 1],
  PageDown: [0, 0, -1],
}

/** What the keys do. */
export function keyHelp(): HTMLElement {
  return element(
    'details',
    {},
    element('summary', {}, 'Keys'),
    element(
      'dl',
      { class: 'keys' },
      ...KEYS.flatMap(([keys, what]) => [
        element('dt', {}, ...keys.flatMap((key, i) => [i > 0 ? ' ' : null, element('kbd', {}, key)])),
        element('dd', {}, what),
      ]),
    ),
  )
}
