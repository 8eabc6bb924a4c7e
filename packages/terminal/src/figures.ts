import { formatBytes } from '@meshfl/core'

/** A number with fixed decimals; a dash where there is none, or it is not finite. */
export function formatFigure(value: number | null | undefined, decimals: number, dash = '-'): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return dash
  return Math.abs(value) >= 1e6 ? value.toExponential(2) : value.toFixed(decimals)
}

/** An amount of data; a dash where nothing is known. */
export function formatAmount(bytes: number, dash = '-'): string {
  return Number.isFinite(bytes) && bytes > 0 ? formatBytes(bytes) : dash
}

/** A span of time in whole units, for what is counted up or down on a screen: `8 s`, `3m 05s`, `2h 07m`, `3d 04h`. */
export function formatSpan(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?'
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${pad(whole % 60)}s`
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h ${pad(Math.floor((whole % 3600) / 60))}m`
  return `${Math.floor(whole / 86_400)}d ${pad(Math.floor((whole % 86_400) / 3600))}h`
}

/** How long ago something was, coarse enough that a healthy site's line stands still. */
export function formatAge(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?'
  if (seconds < 5) return 'now'
  if (seconds < 60) return `${Math.floor(seconds / 5) * 5} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  return `${Math.floor(seconds / 3600)} h`
}

/** A rate: three digits, then the unit: `12.3 volumes/s`, `4.5 MB/s`. */
export function formatRate(perSecond: number, unit: string): string {
  if (!Number.isFinite(perSecond) || perSecond <= 0) return ''
  if (isBytes(unit)) return `${formatBytes(Number(perSecond.toPrecision(3)))}/s`
  if (perSecond >= 0.1) return `${short(perSecond)} ${unit}/s`
  return `${short(perSecond * 60)} ${unit}/min`
}

/** How much of how much: `12/24 volumes`, `1.2 MB of 5.0 MB`. */
export function formatPortion(done: number, total: number, unit: string): string {
  if (isBytes(unit)) return total > 0 ? `${formatBytes(done)} of ${formatBytes(total)}` : formatBytes(done)
  return total > 0 ? `${count(done)}/${count(total)} ${unit}` : `${count(done)} ${unit}`
}

/** The wall clock of an instant, in the time zone of whoever reads it: `14:03:59`. */
export function formatClock(timeMs: number): string {
  const date = new Date(timeMs)
  if (Number.isNaN(date.getTime())) return '--:--:--'
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`
}

function isBytes(unit: string): boolean {
  return unit === 'B' || unit === 'bytes'
}

function count(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(1)
}

function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(2)
}

function pad(value: number): string {
  return String(value).padStart(2, '0')
}
