/** Whose mistake an error is, and so which exit code it has. */
export type ErrorKind =
  | 'usage' // the words of the command: 2
  | 'data' // a file, a folder, a peer or the machine is not as it must be: 3
  | 'gate' // the figures are below what was demanded: 4
  | 'interrupted' // someone stopped it: 130

const EXIT_CODES: Record<ErrorKind, number> = { usage: 2, data: 3, gate: 4, interrupted: 130 }

export interface ErrorDetail {
  kind?: ErrorKind
  /** What to do about it: one sentence in the imperative. */
  hint?: string
  /** What a program would want to know: paths, shapes, numbers. */
  data?: Record<string, unknown>
  cause?: unknown
}

/**
 * A mistake that its reader can mend: a stable code, a sentence, a hint. Every code has a heading in docs/errors.md and
 * is never reused for something else. Whatever is thrown and is no MeshflError is a bug of ours (exit code 1).
 */
export class MeshflError extends Error {
  override readonly name = 'MeshflError'
  readonly code: string
  readonly kind: ErrorKind
  readonly hint: string | undefined
  readonly data: Record<string, unknown>

  constructor(code: string, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.code = code
    this.kind = detail.kind ?? 'data'
    this.hint = detail.hint
    this.data = detail.data ?? {}
  }

  get exitCode(): number {
    return EXIT_CODES[this.kind]
  }
}

/** The last branch of an exhaustive switch: a value that the types say cannot be. */
export function assertNever(value: never): never {
  throw new Error(`unexpected value: ${JSON.stringify(value)}`)
}
