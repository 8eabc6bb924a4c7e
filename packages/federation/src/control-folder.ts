import { randomBytes } from 'node:crypto'
import { chmodSync, lstatSync, mkdirSync, type Stats, statSync } from 'node:fs'
import { lstat, readdir, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  explainWriteError,
  giveFolderToOwner,
  MeshflError,
  mayPass,
  TEMPORARY_PREFIX,
  writeFileAtomic,
} from '@meshfl/core'
import { z } from 'zod'
import { type SitesAnswer, SitesAnswerSchema, type SitesRequest, SitesRequestSchema } from './sites-request.js'

const REQUEST = /^([0-9a-f]{16})\.request$/
/** An answer that nobody has fetched in this time is removed: it may hold an invite. */
const ANSWER_MS = 60_000
const MAX_REQUEST_BYTES = 64 * 1024

const AnswerFileSchema = z.union([
  z.strictObject({ answer: SitesAnswerSchema }),
  z.strictObject({
    error: z.strictObject({
      code: z.string(),
      kind: z.enum(['usage', 'data', 'gate', 'interrupted']),
      message: z.string(),
      hint: z.string().optional(),
    }),
  }),
])

/**
 * How a command on the same run folder talks to the coordinator that works there: a file for the request, one for the answer, each
 * written atomically and removed when read. A socket would end with its process, and is out of reach on a network file system; a
 * request that was written down is answered by whichever coordinator comes next.
 */
export class ControlFolder {
  readonly #folder: string

  constructor(run: string) {
    this.#folder = join(run, 'control')
  }

  /**
   * Makes the folder, for its owner only; one that was there and that others may write to is closed to them.
   * @throws MeshflError `CONTROL_FOLDER_UNSAFE`, `PATH_NOT_WRITABLE`
   */
  prepare(): void {
    try {
      // Not what a link leads to: whoever made that may put another there.
      if (!this.#stat()) {
        mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
        giveFolderToOwner(this.#folder)
      }
      this.#secure()
    } catch (error) {
      throw error instanceof MeshflError ? error : explainWriteError(error, this.#folder)
    }
  }

  #stat(): Stats | undefined {
    return lstatSync(this.#folder, { throwIfNoEntry: false })
  }

  #secure(): void {
    const found = this.#stat()
    if (!found?.isDirectory()) throw this.#unsafe('is no folder of its own, but a link or a file')
    const own = process.getuid?.()
    // Whoever owns the run's folder can put another one in this one's place, and read the coordinator's keys.
    if (own !== undefined && found.uid !== own && found.uid !== statSync(dirname(this.#folder)).uid)
      throw this.#unsafe(`belongs to another account (${found.uid})`)
    if ((found.mode & 0o077) === 0 || process.platform === 'win32') return
    try {
      chmodSync(this.#folder, 0o700)
    } catch {
      // A mounted disk need not know of modes. Requests of other accounts are refused all the same.
    }
  }

  #unsafe(words: string): MeshflError {
    return new MeshflError('CONTROL_FOLDER_UNSAFE', `${this.#folder} ${words}`, {
      hint: 'if that is the account of the coordinator, give the command as that account; else look who put it there, and remove it: it is made anew',
      data: { folder: this.#folder },
    })
  }

  /** Writes a request down. @returns its name */
  async ask(request: SitesRequest): Promise<string> {
    this.prepare()
    const id = randomBytes(8).toString('hex')
    await writeFileAtomic(this.#path(id, 'request'), JSON.stringify(request), { mode: 0o600 })
    return id
  }

  /** The answer to a request, where it is there. @throws MeshflError what the coordinator answered with */
  async takeAnswer(id: string): Promise<SitesAnswer | undefined> {
    const path = this.#path(id, 'answer')
    const text = await readIfThere(path)
    if (text === undefined) return undefined
    await rm(path, { force: true })
    const file = AnswerFileSchema.parse(JSON.parse(text))
    if ('answer' in file) return file.answer
    const { code, message, kind, hint } = file.error
    throw new MeshflError(code, message, hint === undefined ? { kind } : { kind, hint })
  }

  /** Takes a request back. @returns false where it was answered already */
  async withdraw(id: string): Promise<boolean> {
    try {
      await rm(this.#path(id, 'request'))
      return true
    } catch {
      return false
    }
  }

  /**
   * Answers what was asked, in the order of the names; what is no request of this account is removed. Whatever a request brings
   * about, it is answered and removed, and those behind it are answered.
   * @param onProblem told of a request that could not be read, or brought about what no request may
   * @throws MeshflError where answers cannot be written just now
   */
  async answerAll(
    handle: (request: SitesRequest, id: string) => Promise<SitesAnswer>,
    onProblem: (words: string) => void,
  ): Promise<void> {
    const names = await readdir(this.#folder).catch((): string[] => [])
    for (const name of names.sort()) {
      const id = REQUEST.exec(name)?.[1]
      if (id === undefined) await this.#sweep(name)
      else await this.#answer(id, handle, onProblem)
    }
  }

  async #answer(
    id: string,
    handle: (request: SitesRequest, id: string) => Promise<SitesAnswer>,
    onProblem: (words: string) => void,
  ): Promise<void> {
    const path = this.#path(id, 'request')
    const found = await this.#read(path)
    if (found === undefined) return // taken back
    if ('refused' in found) {
      onProblem(`a request in ${this.#folder} was refused: ${found.refused}`)
      await remove(path)
      return
    }
    const file = await answerTo(
      found.text,
      (request) => handle(request, id),
      (words) => onProblem(`a request in ${this.#folder} was refused: ${words}`),
    )
    await writeFileAtomic(this.#path(id, 'answer'), JSON.stringify(file), { mode: 0o600 })
    await remove(path)
  }

  async #read(path: string): Promise<{ text: string } | { refused: string } | undefined> {
    try {
      const found = await lstat(path)
      const { uid, size } = found
      const own = process.getuid?.() ?? uid
      // Root, whose requests are given to the folder's account, may itself be who answers them.
      const accounts = own === 0 ? [own, (await lstat(this.#folder)).uid] : [own, 0]
      if (!accounts.includes(uid)) return { refused: `it is of another account (${uid})` }
      if (!found.isFile()) return { refused: 'it is no file' }
      if (size > MAX_REQUEST_BYTES) return { refused: `it has ${size} bytes` }
      const text = await readIfThere(path)
      return text === undefined ? undefined : { text }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      if ((error as NodeJS.ErrnoException).code === 'EACCES') return { refused: 'this account may not read it' }
      const explained = explainWriteError(error, path)
      // It could not be read now, and says nothing of what it holds.
      if (mayPass(explained) && explained.code !== 'PATH_NOT_WRITABLE') throw explained
      return { refused: 'it cannot be read' }
    }
  }

  async #sweep(name: string): Promise<void> {
    const path = join(this.#folder, name)
    if (!name.endsWith('.answer') && !name.startsWith(TEMPORARY_PREFIX)) return
    const { mtimeMs } = await lstat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }))
    if (Date.now() - mtimeMs > ANSWER_MS) await remove(path)
  }

  #path(id: string, kind: 'request' | 'answer'): string {
    return join(this.#folder, `${id}.${kind}`)
  }
}

/** What a request is answered with, whatever it holds and brings about. */
async function answerTo(
  text: string,
  handle: (request: SitesRequest) => Promise<SitesAnswer>,
  onProblem: (words: string) => void,
): Promise<z.infer<typeof AnswerFileSchema>> {
  try {
    return { answer: await handle(parseRequest(text)) }
  } catch (error) {
    if (!(error instanceof MeshflError) || error.code === 'SITES_REQUEST_INVALID') onProblem((error as Error).message)
    const { code, kind, message, hint } =
      error instanceof MeshflError
        ? error
        : new MeshflError('SITES_REQUEST_FAILED', `what was asked failed: ${(error as Error).message}`, {
            hint: 'see what became of it with: meshfl sites list; and report it, for it is a fault of meshfl',
          })
    return { error: { code, kind, message, ...(hint === undefined ? {} : { hint }) } }
  }
}

/** @throws MeshflError `SITES_REQUEST_INVALID` */
function parseRequest(text: string): SitesRequest {
  try {
    return SitesRequestSchema.parse(JSON.parse(text))
  } catch (error) {
    const words = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message
    throw new MeshflError(
      'SITES_REQUEST_INVALID',
      `it is no request of this version of meshfl: ${words.slice(0, 500)}`,
      {
        kind: 'usage',
        hint: 'use the version of meshfl that the coordinator uses',
        cause: error,
      },
    )
  }
}

/** Whatever it is. */
function remove(path: string): Promise<void> {
  return rm(path, { recursive: true, force: true })
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
