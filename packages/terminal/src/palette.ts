const CODES = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
} as const

export type Tone = keyof typeof CODES
/** Colours text, or leaves it as it is. */
export type Paint = (tone: Tone | null, text: string) => string

/** A paint that colours where `color` is true. What the colour says is always said by a word too. */
export function createPaint(color: boolean): Paint {
  if (!color) return (_tone, text) => text
  return (tone, text) => {
    if (tone === null || text === '') return text
    const [on, off] = CODES[tone]
    return `\u001b[${on}m${text}\u001b[${off}m`
  }
}

interface MaybeTerminal {
  isTTY?: boolean
}

/** Whether to colour what goes to a stream: a terminal that is not dumb, unless NO_COLOR or FORCE_COLOR says otherwise. */
export function wantsColor(stream: object, env: NodeJS.ProcessEnv = process.env): boolean {
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== '') return false
  if (env.FORCE_COLOR !== undefined) return env.FORCE_COLOR !== '0' && env.FORCE_COLOR !== 'false'
  return (stream as MaybeTerminal).isTTY === true && env.TERM !== 'dumb'
}

/** Whether a stream is a terminal that a person watches, so that the live view makes sense there. */
export function wantsLiveView(stream: object, env: NodeJS.ProcessEnv = process.env): boolean {
  const ci = env.CI !== undefined && env.CI !== '' && env.CI !== '0' && env.CI !== 'false'
  return (stream as MaybeTerminal).isTTY === true && env.TERM !== 'dumb' && !ci
}

/** The characters that things are drawn with. */
export interface Glyphs {
  full: string
  empty: string
  /** From the lowest to the highest; the first is a value that is there but lowest. */
  levels: readonly string[]
  dot: string
  dash: string
  ellipsis: string
}

export const UNICODE: Glyphs = {
  full: '━',
  empty: '─',
  levels: ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
  dot: '·',
  dash: '–',
  ellipsis: '…',
}

export const ASCII: Glyphs = {
  full: '=',
  empty: '-',
  levels: ['_', '.', ',', '-', '~', '+', '*', '#'],
  dot: '|',
  dash: '-',
  ellipsis: '.',
}

/** The glyphs that a terminal can show: plain ones where there is a locale and it does not say UTF-8. */
export function chooseGlyphs(env: NodeJS.ProcessEnv = process.env): Glyphs {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || ''
  if (/utf-?8/i.test(locale)) return UNICODE
  return env.TERM === 'linux' || locale !== '' ? ASCII : UNICODE
}
