import type { Glyphs, Paint } from './palette.js'

/** A bar of exactly `width` columns, `fraction` of it full. */
export function drawBar(fraction: number, width: number, paint: Paint, glyphs: Glyphs): string {
  const part = Number.isFinite(fraction) ? Math.min(1, Math.max(0, fraction)) : 0
  const columns = Math.max(0, Math.floor(width))
  const full = Math.round(part * columns)
  return paint('green', glyphs.full.repeat(full)) + paint('dim', glyphs.empty.repeat(columns - full))
}
