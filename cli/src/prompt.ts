import { readFileSync } from 'node:fs'
import type { Interface } from 'node:readline/promises'
import { setTimeout as sleep } from 'node:timers/promises'

/** What was typed before a question stood there is no answer to it; the terminal hands it over within this time. */
const STALE_MS = 50

export interface Prompt {
  /** See `Output.ask`. */
  ask(question: string, signal: AbortSignal): Promise<boolean | undefined>
  /** Ends the question that stands there. */
  close(): void
}

/**
 * Whether a question would be seen and could be answered: input and the stream of questions are a terminal, and this process is in its
 * foreground. One in the background is stopped by the kernel when it reads from it.
 */
export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true && isInForeground()
}

function isInForeground(): boolean {
  try {
    const stat = readFileSync('/proc/self/stat', 'utf8')
    const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return group === foreground
  } catch {
    return true // where the system does not tell
  }
}

/** Asks one question after the other: with two at once one answer would be taken for both. */
export function createPrompt(
  input: NodeJS.ReadStream,
  output: NodeJS.WritableStream,
  isAnswerable: () => boolean = canAsk, // looked at each time: a command may be put into the background
): Prompt {
  let asking: Interface | undefined
  let isClosed = false
  let last: Promise<unknown> = Promise.resolve()

  const askNow = async (question: string, signal: AbortSignal): Promise<boolean | undefined> => {
    if (isClosed || signal.aborted || !isAnswerable()) return undefined
    const { createInterface } = await import('node:readline/promises')
    await dropWhatIsTyped(input)
    if (isClosed || signal.aborted) return undefined
    const prompt = createInterface({ input, output })
    asking = prompt
    prompt.on('error', () => undefined) // the terminal is gone, and with it whoever could answer
    prompt.on('SIGINT', () => process.kill(process.pid, 'SIGINT')) // readline has taken it from the terminal
    try {
      const closed = new Promise<undefined>((resolve) => prompt.once('close', () => resolve(undefined)))
      const answered = prompt.question(`${question} [y/N] `, { signal })
      const answer = await Promise.race([answered, closed]).catch(() => undefined)
      if (answer === undefined) output.write('\n')
      return answer === undefined ? undefined : /^y(es)?$/i.test(answer.trim())
    } finally {
      asking = undefined
      prompt.close()
    }
  }
  return {
    ask(question, signal) {
      const answer = last.then(() => askNow(question, signal))
      last = answer.catch(() => undefined)
      return answer
    },
    close() {
      isClosed = true
      asking?.close()
    },
  }
}

async function dropWhatIsTyped(input: NodeJS.ReadStream): Promise<void> {
  const drop = (): void => undefined
  input.on('data', drop)
  await sleep(STALE_MS)
  input.off('data', drop)
  input.pause()
}
