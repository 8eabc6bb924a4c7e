import { MeshflError } from '@meshfl/core'
import { createPaint } from './palette.js'
import { cleanLines } from './text.js'

export interface ErrorOptions {
  color?: boolean
}

/**
 * An error as the lines to print: code, sentence and hint where its reader can mend it; otherwise a request to report
 * it, with all that is known.
 */
export function formatError(error: unknown, options: ErrorOptions = {}): string[] {
  const paint = createPaint(options.color ?? false)
  if (error instanceof MeshflError) {
    const [first, ...rest] = cleanLines(error.message)
    const lines = [
      `${paint('red', 'error')} ${paint('bold', error.code)}: ${first ?? ''}`,
      ...rest.map((line) => `  ${line}`),
    ]
    if (error.hint !== undefined) {
      const [hint, ...more] = cleanLines(error.hint)
      lines.push(`  ${paint('cyan', 'hint:')} ${hint ?? ''}`, ...more.map((line) => `        ${line}`))
    }
    return lines
  }
  const lines = [
    `${paint('red', 'error')} ${paint('bold', 'INTERNAL')}: ${cleanLines(messageOf(error))[0] ?? ''}`,
    '  This is a fault of meshfl, not yours. Please report it with the lines below.',
  ]
  for (const line of stackOf(error)) lines.push(paint('dim', `    ${line}`))
  const { platform, arch, version } = process
  lines.push(paint('dim', `    node ${version}, ${platform} ${arch}`))
  return lines
}

function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message === '' ? error.name : error.message
  return `something was thrown that is no error: ${describe(error)}`
}

function stackOf(error: unknown): string[] {
  const lines: string[] = []
  let current: unknown = error
  // A chain of causes can be a circle.
  for (let depth = 0; depth < 5 && current instanceof Error; depth++) {
    const stack = cleanLines(current.stack ?? `${current.name}: ${current.message}`)
    lines.push(...stack.map((line, index) => (index === 0 && depth > 0 ? `caused by ${line}` : line)))
    current = current.cause
  }
  return lines
}

function describe(value: unknown): string {
  try {
    return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
  } catch {
    return Object.prototype.toString.call(value)
  }
}
