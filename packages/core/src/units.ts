import { MeshflError } from './errors.js'

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const

/** Bytes as a person reads them, in powers of 1000: `22.8 kB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  // From 999.5 on, three digits round up to a thousand.
  while (Math.abs(value) >= (unit === 0 ? 1000 : 999.5) && unit < BYTE_UNITS.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${BYTE_UNITS[unit]}`
}

/**
 * Reads `2GB`, `512 MB`, `1.5e9`: at least one byte. Powers of 1000, or of 1024 for KiB, MiB, GiB.
 * @throws MeshflError `USAGE_BYTES`
 */
export function parseBytes(text: string): number {
  const match = /^\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?)(i?)b?\s*$/i.exec(text)
  const value = match ? Number(match[1]) : Number.NaN
  if (!match || !Number.isFinite(value)) {
    throw new MeshflError('USAGE_BYTES', `"${text}" is no amount of memory`, {
      kind: 'usage',
      hint: 'write it as 2GB or 512MB',
    })
  }
  const power = ' kmgt'.indexOf(match[2]!.toLowerCase() || ' ')
  const bytes = Math.round(value * (match[3] ? 1024 : 1000) ** power)
  if (bytes >= 1 && Number.isSafeInteger(bytes)) return bytes
  throw new MeshflError('USAGE_BYTES', `"${text}" is ${bytes < 1 ? 'nothing' : 'more than there can be'}`, {
    kind: 'usage',
    hint: 'write an amount above 0, as 2GB or 512MB',
  })
}

/** Seconds as a person reads them: `0.42 s`, `12.3 s`, `3m 05s`, `2h 07m`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?'
  if (seconds < 10) return `${seconds.toFixed(2)} s`
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${String(whole % 60).padStart(2, '0')}s`
  return `${Math.floor(whole / 3600)}h ${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')}m`
}
