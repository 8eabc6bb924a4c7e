import { chooseGlyphs } from './palette.js'

const ESCAPE = '\u001b'
// Every sequence that moves a cursor, sets a colour or names a window.
const ESCAPES = new RegExp(`${ESCAPE}(?:\\[[0-?]*[ -/]*[@-~]|\\][^\\p{Cc}]*|[@-Z\\\\^_])`, 'gu')
const COLOURS = new RegExp(`${ESCAPE}\\[[0-9;]*m`, 'g')
// Control characters, line and paragraph separators, and the marks that change the direction of what follows.
const CONTROLS = /(?:\p{Cc}|[\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069])+/gu
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u
const ZERO = /^(?:\p{M}|\p{Cf})/u
const PLAIN = /^[ -~]*$/

/**
 * Text that came from a file or a peer, made safe to print: on one line, without control characters, so that no name and
 * no message can move the cursor or change the colours of the terminal.
 */
export function cleanText(text: string): string {
  return PLAIN.test(text) ? text : text.replace(ESCAPES, '').replace(CONTROLS, ' ').trimEnd()
}

/** `cleanText` for each line of a text. */
export function cleanLines(text: string): string[] {
  return text.split('\n').map(cleanText)
}

/** The columns that a line takes on the screen; colours take none, wide characters two. */
export function displayWidth(text: string): number {
  if (PLAIN.test(text)) return text.length
  let width = 0
  for (const character of text.replace(COLOURS, '')) width += characterWidth(character)
  return width
}

/** The text in exactly `width` columns: padded, or cut with an ellipsis. The text has no colours. */
export function fitText(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const cut = cutText(text, width)
  const padding = ' '.repeat(Math.max(0, width - displayWidth(cut)))
  return align === 'left' ? cut + padding : padding + cut
}

/** The text in at most `width` columns, its end replaced by an ellipsis where it is longer. The text has no colours. */
export function cutText(text: string, width: number): string {
  if (width <= 0) return ''
  if (displayWidth(text) <= width) return text
  let cut = ''
  let used = 0
  for (const character of text) {
    const columns = characterWidth(character)
    if (used + columns > width - 1) break
    cut += character
    used += columns
  }
  return `${cut}${chooseGlyphs().ellipsis}`
}

/** As `cutText`, with the ellipsis in the middle: names of sites often differ at their ends. */
export function cutMiddle(text: string, width: number): string {
  if (displayWidth(text) <= width || width < 5) return cutText(text, width)
  const end: string[] = []
  let used = 0
  for (const character of [...text].reverse()) {
    used += characterWidth(character)
    if (used > Math.floor((width - 1) / 2)) break
    end.unshift(character)
  }
  const tail = end.join('')
  return `${cutText(text, width - displayWidth(tail))}${tail}`
}

/** The text in lines of at most `width` columns, broken at spaces where there are any. The text has no colours. */
export function wrapText(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`
    if (displayWidth(longer) <= width) {
      line = longer
      continue
    }
    if (line !== '') lines.push(line)
    line = ''
    for (const character of word) {
      if (displayWidth(line) + characterWidth(character) > width) {
        lines.push(line)
        line = ''
      }
      line += character
    }
  }
  lines.push(line)
  return lines
}

function characterWidth(character: string): number {
  if (PLAIN.test(character)) return 1
  if (ZERO.test(character)) return 0
  return WIDE.test(character) || character.codePointAt(0)! >= 0x20000 ? 2 : 1
}
