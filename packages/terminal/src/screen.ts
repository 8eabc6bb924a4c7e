import { EventEmitter } from 'node:events'
import { displayWidth } from './text.js'

const BEGIN_SYNC = '\u001b[?2026h'
const END_SYNC = '\u001b[?2026l'
const HIDE_CURSOR = '\u001b[?25l'
const SHOW_CURSOR = '\u001b[?25h'
const HOME_AND_CLEAR = '\u001b[H\u001b[J'
const CLEAR_LINE_END = '\u001b[K'
const CLEAR_BELOW = '\u001b[J'
// How ink takes its previous frame away: it erases line by line, upwards.
const ESCAPE = '\u001b'
const ERASE = new RegExp(`^(?:${ESCAPE}\\[2K(?:${ESCAPE}\\[1A)?)*(?:${ESCAPE}\\[G)?`)

/**
 * The stream that ink writes to. Ink erases its frame and writes it anew; this writes only the lines that differ, in one
 * go, so that nothing flickers and a slow connection carries little. It also keeps the terminal right when it is
 * resized: terminals reflow what is on them, so that nobody knows how tall the old frame has become, and the only sure
 * way is to begin again at the top.
 */
export class Screen extends EventEmitter {
  #out: NodeJS.WriteStream
  #above: string[] = []
  #lines: string[] = []
  #mustRepaint = false
  #restore = () => this.#out.write(SHOW_CURSOR)

  constructor(out: NodeJS.WriteStream) {
    super()
    this.#out = out
    out.write(HIDE_CURSOR)
    process.once('exit', this.#restore)
  }

  /** What ink lays out for. */
  get columns(): number {
    return this.#out.columns || 80
  }

  /** Without end for ink, which otherwise clears the whole terminal, scrollback included, when a frame was too tall. Frames here never are. */
  get rows(): number {
    return Number.POSITIVE_INFINITY
  }

  /** A frame of ink's. */
  write(chunk: string | Uint8Array): boolean {
    const text = String(chunk).replace(ERASE, '')
    if (text === '') return true
    const lines = text.split('\n')
    if (lines.at(-1) === '') lines.pop()
    return this.#draw(lines)
  }

  /** Prints lines that stay, above the frame. A line may be longer than the terminal: it is written whole, and copies whole. */
  printAbove(lines: readonly string[]): void {
    this.#out.write(`${BEGIN_SYNC}${this.#up()}${CLEAR_BELOW}${lines.map((line) => `${line}\r\n`).join('')}${END_SYNC}`)
    const frame = this.#lines
    this.#lines = []
    if (frame.length > 0) this.#draw(frame)
  }

  /** Lets the next frame begin on an empty screen, below these lines. */
  repaint(above: readonly string[]): void {
    this.#mustRepaint = true
    this.#above = [...above]
  }

  close(): void {
    process.off('exit', this.#restore)
    this.#restore()
  }

  #draw(lines: string[]): boolean {
    let out = BEGIN_SYNC
    if (this.#mustRepaint) {
      out += HOME_AND_CLEAR + this.#above.map((line) => `${line}\r\n`).join('')
      this.#lines = []
      this.#mustRepaint = false
    }
    out += this.#up()
    const { columns } = this
    lines.forEach((line, index) => {
      // After the last column a cursor waits on it, and clearing to the end would take the last character.
      if (line !== this.#lines[index]) out += line + (displayWidth(line) < columns ? CLEAR_LINE_END : '')
      out += '\r\n'
    })
    if (this.#lines.length > lines.length) out += CLEAR_BELOW
    this.#lines = lines
    return this.#out.write(out + END_SYNC)
  }

  #up(): string {
    return this.#lines.length > 0 ? `\u001b[${this.#lines.length}A\r` : ''
  }
}
