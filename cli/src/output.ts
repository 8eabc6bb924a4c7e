import type { EventSink, MeshflEvent } from '@meshfl/core'
import type { Command } from 'commander'

export interface OutputOptions {
  json?: boolean
  quiet?: boolean
  color?: boolean
}

/** Where a command's events are shown: a live view on a terminal, plain lines in a pipe, JSON lines with `--json`. */
export interface Output {
  readonly events: EventSink
  /** Whether there is a person at a terminal who can be asked. */
  readonly asks: boolean
  /**
   * Yes or no from the person at the terminal, one question at a time; undefined where nobody answered: the signal says that the
   * question is no more, the person has closed the input, or the command ends.
   */
  ask(question: string, signal: AbortSignal): Promise<boolean | undefined>
  /** Prints the command's result: its JSON line, or `text` for a person. */
  result(event: MeshflEvent, text?: string): void
  /** Text for a person: nothing with `--json` or `--quiet`. */
  say(text: string): void
  stop(): Promise<void>
}

export interface OutputRequest {
  title: string
  /** For a site: where its coordinator is. */
  coordinator?: string
  /** Whether the command wants the live view where there is a terminal. */
  live?: boolean
  onQuit?(): void
  onPause?(paused: boolean): void
}

/** Adds the options that every command has. */
export function withOutputOptions(command: Command): Command {
  return command
    .option('--json', 'print events as JSON lines; the last one is the result')
    .option('-q, --quiet', 'print errors and the result only')
    .option('--no-color', 'print without colour (also NO_COLOR)')
}

/** Opens the output that the options and the terminal ask for. */
export async function openOutput(options: OutputOptions, request: OutputRequest): Promise<Output> {
  if (options.json) {
    // The last line is the result or the error: what a closing socket still tells comes too late.
    let stopped = false
    const write = (event: MeshflEvent): void => {
      if (!stopped) process.stdout.write(`${JSON.stringify(event)}\n`)
    }
    return {
      events: write,
      result: write,
      asks: false,
      ask: async () => undefined,
      say: () => undefined,
      stop: async () => {
        stopped = true
      },
    }
  }
  const { cleanLines, createPlainView, wantsColor, wantsLiveView } = await import('@meshfl/terminal')
  const color = options.color !== false && wantsColor(process.stdout)
  const waiting: string[] = []
  // Names of files stand in it, which may come from anywhere.
  const print = (text: string): void => void process.stdout.write(`${cleanLines(text).join('\n')}\n`)
  const flush = (): void => {
    for (const text of waiting.splice(0)) print(text)
  }
  if (request.live && !options.quiet && wantsLiveView(process.stdout)) {
    const { startLiveView } = await import('@meshfl/terminal/live')
    const view = startLiveView({
      title: request.title,
      ...(request.coordinator ? { coordinator: request.coordinator } : {}),
      color,
      onQuit: () => request.onQuit?.(),
      ...(request.onPause ? { onPause: request.onPause } : {}),
    })
    return {
      events: view.sink,
      asks: process.stdin.isTTY === true,
      ask: (question, signal) => view.ask(question, signal),
      result: (_event, text) => void (text && waiting.push(text)),
      say: (text) => void waiting.push(text),
      stop: async () => {
        await view.stop()
        flush()
      },
    }
  }
  const view = createPlainView({ stream: process.stdout, quiet: options.quiet === true, color })
  const { canAsk, createPrompt } = await import('./prompt.js')
  const prompt = createPrompt(process.stdin, process.stderr)
  let stopped = false
  return {
    // As above: what is told while the command ends comes too late.
    events: (event) => {
      if (!stopped) view.sink(event)
    },
    asks: canAsk(),
    ask: prompt.ask,
    result: (_event, text) => void (text && waiting.push(text)),
    say: (text) => void (options.quiet || print(text)),
    stop: async () => {
      stopped = true
      prompt.close()
      await view.stop()
      flush()
    },
  }
}
