import type { FrameOptions } from './frame.js'
import { cutText, displayWidth, wrapText } from './text.js'

type Key = readonly [key: string, meaning: string]

/** The keys, or the question that waits for an answer, in at most `room` lines. */
export function drawFoot(options: FrameOptions, room: number): string[] {
  const { interaction, columns, paint } = options
  if (interaction.final) return []
  if (interaction.question !== null) {
    const lines = wrapText(`${interaction.question} [y/n]`, columns)
    // The end of a question is what is asked.
    return lines.slice(-room).map((line) => paint('bold', cutText(line, columns)))
  }
  if (interaction.quitting) {
    const again = interaction.keys ? '; Ctrl-C again ends at once' : ''
    return [paint('yellow', cutText(`stopping: everything so far is kept${again}`, columns))]
  }
  if (!interaction.keys) return [paint('dim', cutText('Ctrl-C stops and keeps everything', columns))]
  return [keyLine(keysFor(options), options)]
}

/** What the keys, the states and the columns mean. */
export function drawHelp({ columns, paint, interaction }: FrameOptions): string[] {
  const keys: Key[] = [
    ['q', 'stop and keep everything, as Ctrl-C does; the same command continues'],
    ...(interaction.canPause ? [['p', 'pause after this round; p again continues'] as const] : []),
    ['l', 'the full log, and back'],
    ['i', 'print the invites again'],
    ['?', 'this help, and back'],
  ]
  const words: Key[] = [
    ['loss', 'of the last step'],
    ['Dice', 'foreground, on validation cases where there are any'],
    ['seen', 'when the site was last heard of'],
    ['sent', 'bytes out of this machine; received: bytes into it'],
    ['suspect', 'silent for a while; lost: left out until it is back'],
    ['curves', 'over the finished rounds; train and valid share a scale'],
  ]
  const line = ([key, meaning]: Key) => {
    const plain = cutText(`${key.padEnd(9)}${meaning}`, columns)
    return paint('bold', plain.slice(0, 9)) + plain.slice(9)
  }
  return [...keys.map(line), '', ...words.map(line)]
}

function keysFor({ interaction }: FrameOptions): Key[] {
  const pause: Key = interaction.paused ? ['p', 'continue (pauses after this round)'] : ['p', 'pause after this round']
  return [
    ['q', 'stop'],
    ...(interaction.canPause ? [pause] : []),
    interaction.panel === 'log' ? ['l', 'back'] : ['l', 'full log'],
    interaction.panel === 'help' ? ['?', 'back'] : ['?', 'help'],
  ]
}

function keyLine(keys: readonly Key[], { columns, paint }: FrameOptions): string {
  let line = ''
  let width = 0
  for (const [key, meaning] of keys) {
    const gap = width === 0 ? '' : '   '
    const columnsMore = gap.length + displayWidth(key) + 1 + displayWidth(meaning)
    if (width + columnsMore > columns) continue
    line += `${gap}${paint('bold', key)} ${paint('dim', meaning)}`
    width += columnsMore
  }
  return line
}
