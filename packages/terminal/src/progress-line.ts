import { formatRate, formatSpan } from './figures.js'
import type { ProgressView } from './view-state.js'

/** Rate and time left of a task, `12 volumes/s  3 s left`; nothing until there is something to reckon from. */
export function progressRate(progress: ProgressView, nowMs: number): string {
  const elapsed = (Math.max(nowMs, progress.updatedMs) - progress.startedMs) / 1000
  const gained = progress.done - progress.startedAt
  if (gained <= 0 || elapsed < 0.5) return ''
  const perSecond = gained / elapsed
  const rate = formatRate(perSecond, progress.unit)
  if (progress.total <= progress.done) return rate
  return `${rate}  ${formatSpan((progress.total - progress.done) / perSecond)} left`
}
