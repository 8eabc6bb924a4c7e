import type { MeshflEvent } from '@meshfl/core'
import type { Key } from 'ink'
import { drawFrame, type Frame, frameLines, type Interaction } from './frame.js'
import { INVITES_HEADING, joinCommand } from './join-command.js'
import type { LiveView, LiveViewOptions } from './live-options.js'
import type { MountedApp } from './mount-app.js'
import { chooseGlyphs, createPaint, wantsColor } from './palette.js'
import { Screen } from './screen.js'
import { cleanText } from './text.js'
import { initialView, reduceView } from './view-state.js'

export type { LiveView, LiveViewOptions } from './live-options.js'

const FASTEST_MS = 100
const SLOWEST_MS = 1000
/** The part of a core that drawing may take. */
const CORE_SHARE = 0.01
const TICK_MS = 1000
const RESIZE_SETTLES_MS = 40

/**
 * Shows a run on a terminal until it is stopped: feed events into `sink`. Draws at once, then when something has changed,
 * at most ten times a second and less often where drawing is slow.
 */
export function startLiveView(options: LiveViewOptions): LiveView {
  const stdout = options.stdout ?? process.stdout
  const stdin = options.stdin ?? process.stdin
  const screen = new Screen(stdout)
  const paint = createPaint(options.color ?? wantsColor(stdout))
  const glyphs = chooseGlyphs()
  const questions: { text: string; answer(yes: boolean | undefined): void }[] = []
  let state = initialView(Date.now())
  let interaction: Interaction = {
    panel: 'run',
    keys: stdin.isTTY === true,
    canPause: options.onPause !== undefined,
    paused: false,
    quitting: false,
    question: null,
    final: false,
  }
  let drawn = ''
  let drawnMs = Number.NEGATIVE_INFINITY
  let costMs = 0
  let pending: NodeJS.Timeout | null = null
  let stopped: Promise<void> | null = null
  let app: MountedApp | null = null

  const layOut = (): Frame =>
    drawFrame(state, {
      title: options.title,
      ...(options.coordinator === undefined ? {} : { coordinator: cleanText(options.coordinator) }),
      columns: stdout.columns || 80,
      rows: stdout.rows || 24,
      nowMs: Date.now(),
      paint,
      glyphs,
      interaction: { ...interaction, question: questions[0]?.text ?? null },
    })

  const show = (frame: Frame) => {
    if (app === null) screen.write(`${frameLines(frame).join('\n')}\n`)
    else app.update({ frame, keys: interaction.keys, onKey: onKeys })
  }
  const draw = () => {
    if (pending !== null) clearTimeout(pending)
    pending = null
    const started = performance.now()
    const frame = layOut()
    const text = frameLines(frame).join('\n')
    if (text !== drawn) {
      drawn = text
      show(frame)
    }
    drawnMs = performance.now()
    costMs = 0.8 * costMs + 0.2 * (drawnMs - started)
  }
  const drawSoon = () => {
    if (pending !== null || stopped !== null) return
    const interval = Math.min(SLOWEST_MS, Math.max(FASTEST_MS, costMs / CORE_SHARE))
    pending = setTimeout(draw, Math.max(0, drawnMs + interval - performance.now()))
    pending.unref()
  }
  const change = (next: Partial<Interaction>) => {
    interaction = { ...interaction, ...next }
    draw()
  }

  const quit = () => {
    if (interaction.quitting) {
      // Whoever stops for the second time does not want to wait.
      process.kill(process.pid, 'SIGINT')
      return
    }
    change({ quitting: true })
    options.onQuit()
  }
  // A slow line hands over a key and the Enter after it at once. Anything longer was pasted, and means no key.
  const onKeys = (input: string, key: Key) => onKey(input.replace(/^(.)\r$/u, '$1'), key)
  const onKey = (input: string, key: Key) => {
    if (stopped !== null) return
    if (key.ctrl && input === 'c') return quit()
    const question = questions[0]
    if (question !== undefined && /^y$/i.test(input)) return question.answer(true)
    if (question !== undefined && (/^n$/i.test(input) || key.escape)) return question.answer(false)
    if (key.ctrl || key.meta) return
    if (input === 'q' && !interaction.quitting) quit()
    else if (input === 'p' && options.onPause !== undefined) {
      change({ paused: !interaction.paused })
      options.onPause(interaction.paused)
    } else if (input === 'l') change({ panel: interaction.panel === 'log' ? 'run' : 'log' })
    else if (input === '?' || input === 'h') change({ panel: interaction.panel === 'help' ? 'run' : 'help' })
    else if (key.escape) change({ panel: 'run' })
    else if (input === 'i' && state.invites.length > 0) screen.printAbove(inviteLines(state.invites))
  }

  let settling: NodeJS.Timeout | null = null
  const onResize = () => {
    const missing = state.sites.length < state.expectedSites
    screen.repaint(missing ? inviteLines(state.invites) : [])
    if (settling !== null) clearTimeout(settling)
    settling = setTimeout(() => {
      drawn = ''
      draw()
    }, RESIZE_SETTLES_MS)
  }
  const tick = setInterval(drawSoon, TICK_MS)
  tick.unref()

  // Ink takes a few hundred milliseconds to load: the first frames do not wait for it.
  const loading = import('./mount-app.js').then(({ mountApp }) => {
    if (stopped === null) app = mountApp(screen, stdin, { frame: layOut(), keys: interaction.keys, onKey: onKeys })
  })
  draw()
  stdout.on('resize', onResize)

  const stop = async () => {
    stdout.off('resize', onResize)
    clearInterval(tick)
    if (settling !== null) clearTimeout(settling)
    for (const question of [...questions]) question.answer(undefined)
    interaction = { ...interaction, panel: 'run', final: true }
    draw()
    await loading
    await app?.unmount()
    screen.close()
  }

  return {
    sink(event: MeshflEvent) {
      if (stopped !== null) return
      const before = state.invites.length
      state = reduceView(state, event, Date.now())
      if (state.invites.length > before) {
        screen.printAbove(before === 0 ? inviteLines(state.invites) : state.invites.slice(before).flatMap(inviteLine))
      }
      drawSoon()
    },
    ask(text, signal) {
      if (stopped !== null || !interaction.keys || signal.aborted) return Promise.resolve(undefined)
      return new Promise<boolean | undefined>((resolve) => {
        const question = {
          text: cleanText(text),
          answer(yes: boolean | undefined) {
            signal.removeEventListener('abort', drop)
            questions.splice(questions.indexOf(question), 1)
            resolve(yes)
            drawSoon()
          },
        }
        const drop = (): void => question.answer(undefined)
        signal.addEventListener('abort', drop, { once: true })
        questions.push(question)
        draw()
      })
    },
    stop() {
      stopped ??= stop()
      return stopped
    },
  }
}

function inviteLines(invites: readonly string[]): string[] {
  if (invites.length === 0) return []
  return [INVITES_HEADING, '', ...invites.flatMap(inviteLine)]
}

function inviteLine(invite: string): string[] {
  return [joinCommand(invite), '']
}
