import type { Glyphs } from './palette.js'

export interface Scale {
  low: number
  high: number
}

/** The range of all finite values; null where there are none. */
export function scaleOf(...series: readonly (readonly (number | null)[])[]): Scale | null {
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  for (const values of series) {
    for (const value of values) {
      if (value === null || !Number.isFinite(value)) continue
      low = Math.min(low, value)
      high = Math.max(high, value)
    }
  }
  return low <= high ? { low, high } : null
}

/**
 * Values over rounds as `height` lines of at most `width` characters, the highest first. More values than columns are
 * averaged, so that the whole history stays in sight; a value that is not there is a gap.
 * @param repeat columns that each value takes, where there is room
 */
export function drawSparkline(
  values: readonly (number | null)[],
  scale: Scale | null,
  width: number,
  height: number,
  glyphs: Glyphs,
  repeat = 1,
): string[] {
  const steps = glyphs.levels.length
  const columns = scale === null ? [] : resample(stretch(values, repeat), Math.max(0, Math.floor(width)))
  const levels = columns.map((value) => {
    if (value === null || scale === null) return null
    // Halves: two finite values may lie further apart than the largest number.
    const span = scale.high / 2 - scale.low / 2
    const part = span > 0 ? (value / 2 - scale.low / 2) / span : 0.5
    return Math.round(Math.min(1, Math.max(0, part)) * (height * steps - 1))
  })
  const lines: string[] = []
  for (let row = height - 1; row >= 0; row--) {
    let line = ''
    for (const level of levels) {
      const above = level === null ? -1 : level - row * steps
      line += above < 0 ? ' ' : glyphs.levels[Math.min(steps - 1, above)]!
    }
    lines.push(line)
  }
  return lines
}

function resample(values: readonly (number | null)[], width: number): (number | null)[] {
  if (values.length <= width) return values.map((value) => (value !== null && Number.isFinite(value) ? value : null))
  const columns: (number | null)[] = []
  for (let column = 0; column < width; column++) {
    const from = Math.floor((column * values.length) / width)
    const to = Math.floor(((column + 1) * values.length) / width)
    let sum = 0
    let count = 0
    for (const value of values.slice(from, to)) {
      if (value === null || !Number.isFinite(value)) continue
      sum += value
      count++
    }
    columns.push(count > 0 ? sum / count : null)
  }
  return columns
}

function stretch(values: readonly (number | null)[], repeat: number): readonly (number | null)[] {
  return repeat <= 1 ? values : values.flatMap((value) => Array<number | null>(repeat).fill(value))
}
