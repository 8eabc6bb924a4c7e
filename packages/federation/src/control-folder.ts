import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
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

  /** Makes the folder, for its owner only. @throws MeshflError `PATH_NOT_WRITABLE` */
  prepare(): void {
    try {
      if (mkdirSync(this.#folder, { recursive: true, mode: 0o700 }) !== undefined) giveFolderToOwner(this.#folder)
    } catch (error) {
      throw explainWriteError(error, this.#folder)
    }
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
   * Answers what was asked, in the order of the names; what is no request of this account is removed.
   * @param onProblem told of a request that could not be read
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
    const request = await this.#read(path)
    if (request instanceof Error) {
      onProblem(`a request in ${this.#folder} was refused: ${request.message}`)
      await rm(path, { force: true })
      return
    }
    if (request === undefined) return // taken back
    let file: z.infer<typeof AnswerFileSchema>
    try {
      file = { answer: await handle(request, id) }
    } catch (error) {
      if (!(error instanceof MeshflError)) throw error
      const { code, kind, message, hint } = error
      file = { error: { code, kind, message, ...(hint === undefined ? {} : { hint }) } }
    }
    await writeFileAtomic(this.#path(id, 'answer'), JSON.stringify(file), { mode: 0o600 })
    await rm(path, { force: true })
  }

  async #read(path: string): Promise<SitesRequest | Error | undefined> {
    try {
      const { uid, size } = await stat(path)
      const own = process.getuid?.() ?? uid
      // Root, whose requests are given to the folder's account, may itself be who answers them.
      const accounts = own === 0 ? [own, (await stat(this.#folder)).uid] : [own, 0]
      if (!accounts.includes(uid)) return new Error(`it is of another account (${uid})`)
      if (size > MAX_REQUEST_BYTES) return new Error(`it has ${size} bytes`)
      const text = await readIfThere(path)
      return text === undefined ? undefined : SitesRequestSchema.parse(JSON.parse(text))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      if ((error as NodeJS.ErrnoException).code === 'EACCES') return new Error('this account may not read it')
      const explained = explainWriteError(error, path)
      // It could not be read now, and says nothing of what it holds.
      if (mayPass(explained) && explained.code !== 'PATH_NOT_WRITABLE') throw explained
      return new Error('it is no request of this version of meshfl')
    }
  }

  async #sweep(name: string): Promise<void> {
    const path = join(this.#folder, name)
    if (!name.endsWith('.answer') && !name.startsWith(TEMPORARY_PREFIX)) return
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }))
    if (Date.now() - mtimeMs > ANSWER_MS) await rm(path, { force: true })
  }

  #path(id: string, kind: 'request' | 'answer'): string {
    return join(this.#folder, `${id}.${kind}`)
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
