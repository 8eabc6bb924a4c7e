/** A line of a plot: its points by round, in order. A null is a gap. */
export interface Curve {
  name: string
  points: readonly { round: number; value: number | null }[]
}

/** What a plot shows, in its own pixels. */
export interface PlotGeometry {
  /** An SVG path for each curve; '' for one without two values in a row. */
  paths: string[]
  /** For each curve a path of the values that have none beside them: lines of no length, which round ends make dots of. */
  dots: string[]
  yTicks: { y: number; text: string }[]
  xTicks: { x: number; text: string }[]
}

export interface PlotBox {
  width: number
  height: number
  /** Of the values; undefined: from 0, or the least below it, to the largest. */
  range?: readonly [number, number]
}

/** Where the curves of a plot run, or undefined where there is no value to draw. Values that are not finite are gaps. */
export function plotGeometry(curves: readonly Curve[], { width, height, range }: PlotBox): PlotGeometry | undefined {
  let [low, high] = range ?? [0, Number.NEGATIVE_INFINITY]
  let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const { points } of curves) {
    for (const { round, value } of points) {
      if (!isValue(value)) continue
      first = Math.min(first, round)
      last = Math.max(last, round)
      if (range !== undefined) continue
      low = Math.min(low, value)
      high = Math.max(high, value)
    }
  }
  if (first > last) return undefined
  if (high <= low) high = low < 0 ? 0 : low + 1
  const steps = niceTicks(low, high)
  const top = Math.max(high, steps.at(-1) ?? high)
  const bottom = Math.min(low, steps[0] ?? low)
  const x = (round: number): number => (last === first ? width / 2 : (width * (round - first)) / (last - first))
  const y = (value: number): number => height - (height * (clamp(value, bottom, top) - bottom)) / (top - bottom)
  const drawn = curves.map(({ points }) => {
    const text = { path: '', dots: '' }
    for (const run of runsOf(points)) {
      const [begin = '', ...others] = run.map((point) => `${x(point.round).toFixed(1)} ${y(point.value).toFixed(1)}`)
      if (others.length > 0) text.path += `M${[begin, ...others].join('L')}`
      // Dashes would leave it out.
      else text.dots += `M${begin}h0`
    }
    return text
  })
  const rounds = niceTicks(first, last).filter((round) => Number.isInteger(round) && round >= first && round <= last)
  return {
    paths: drawn.map(({ path }) => path),
    dots: drawn.map(({ dots }) => dots),
    yTicks: steps.map((value) => ({ y: y(value), text: String(value) })),
    xTicks: [...new Set([first, ...rounds.filter((round) => round - first > (last - first) / 10)])].map((round) => ({
      x: x(round),
      text: String(round),
    })),
  }
}

/** The points between gaps. */
function runsOf(points: Curve['points']): { round: number; value: number }[][] {
  const runs: { round: number; value: number }[][] = []
  let isGap = true
  for (const { round, value } of points) {
    if (isValue(value)) {
      if (isGap) runs.push([])
      runs.at(-1)!.push({ round, value })
    }
    isGap = !isValue(value)
  }
  return runs
}

const isValue = (value: number | null): value is number => value !== null && Number.isFinite(value)
const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value))

/** About five round numbers that lie in a range or just at its ends. */
export function niceTicks(low: number, high: number): number[] {
  const raw = (high - low) / 5
  if (!(raw > 0) || !Number.isFinite(raw)) return [low]
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = power * ([1, 2, 5, 10].find((one) => one * power >= raw * 0.999) ?? 10)
  const ticks: number[] = []
  const start = Math.ceil(low / step - 1e-9)
  // So far from 0 that the next number is the same.
  if (!Number.isSafeInteger(start)) return [low]
  for (let i = start; i * step <= high + step * 1e-9; i++) ticks.push(Number((i * step).toPrecision(12)))
  return ticks
}
