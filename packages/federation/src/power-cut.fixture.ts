import { basename, dirname, join, relative, sep } from 'node:path'

// The real one: a test that uses this puts the watched one in its place everywhere else.
const { constants, mkdirSync, readdirSync, readFileSync, writeFileSync } = process.getBuiltinModule('node:fs')

/** A file: what is surely on the disk, and what was written since. */
interface FileNode {
  kind: 'file'
  durable: Buffer
  size: number
  pending: { position: number; data: Buffer | null }[]
}
interface FolderNode {
  kind: 'folder'
  durable: Map<string, Node>
  current: Map<string, Node>
  pending: ((entries: Map<string, Node>) => void)[]
}
type Node = FileNode | FolderNode

const PAGE = 4096

/**
 * A disk that may lose whatever was not synced: it notes what a program does below one folder and can build a state that a power cut
 * might have left. As strict as POSIX lets it be: of the writes to a file since its last fsync any pages may be there, of the
 * changes to a folder since its own any first few, and the fsync of a file does not bring its name along.
 */
export class LossyDisk {
  readonly root: string
  operations = 0
  isOff = false
  readonly #cutAt: number
  readonly #onCut: () => void
  readonly #top: FolderNode

  /** @param cutAt the operation before which the power goes */
  constructor(root: string, cutAt: number, onCut: () => void) {
    this.root = root
    this.#cutAt = cutAt
    this.#onCut = onCut
    this.#top = readFolder(root)
  }

  /** Every operation is one more chance for the power to go. */
  operation(): void {
    if (!this.isOff && this.operations++ === this.#cutAt) {
      this.isOff = true
      setImmediate(this.#onCut)
    }
    if (this.isOff) throw Object.assign(new Error('the power is off'), { code: 'EIO' })
  }

  find(path: string): Node | undefined {
    let node: Node | undefined = this.#top
    for (const name of relative(this.root, path).split(sep).filter(Boolean))
      node = node?.kind === 'folder' ? node.current.get(name) : undefined
    return node
  }

  createFile(path: string): FileNode {
    const found = this.find(path)
    if (found?.kind === 'file') return found
    const node: FileNode = { kind: 'file', durable: Buffer.alloc(0), size: 0, pending: [] }
    this.#enter(path, node)
    return node
  }

  createFolder(path: string): void {
    if (!this.find(path)) this.#enter(path, { kind: 'folder', durable: new Map(), current: new Map(), pending: [] })
  }

  link(from: string, to: string): void {
    const node = this.find(from)
    if (node) this.#enter(to, node)
  }

  unlink(path: string): void {
    this.#change(path, (entries) => entries.delete(basename(path)))
  }

  rename(from: string, to: string): void {
    const node = this.find(from)
    if (!node) return
    this.#change(to, (entries) => {
      entries.delete(basename(from))
      entries.set(basename(to), node)
    })
  }

  write(node: FileNode, data: Uint8Array, position = node.size): void {
    node.pending.push({ position, data: Buffer.from(data) })
    node.size = Math.max(node.size, position + data.length)
  }

  truncate(node: FileNode, size: number): void {
    node.pending.push({ position: size, data: null })
    node.size = size
  }

  sync(path: string, node = this.find(path)): void {
    if (node?.kind === 'folder') {
      node.durable = new Map(node.current)
      node.pending = []
    } else if (node) {
      node.durable = apply(node, () => true)
      node.pending = []
    }
  }

  /** Writes a state that the cut may have left. @param keep how much, in [0, 1): 0 keeps nothing that was not synced */
  build(target: string, random: () => number, keep: number): void {
    const visit = (folder: FolderNode, path: string): void => {
      mkdirSync(path, { recursive: true })
      const entries = new Map(folder.durable)
      const kept = Math.floor(folder.pending.length * keep * (keep === 0 ? 0 : random() + 0.5))
      for (const change of folder.pending.slice(0, kept)) change(entries)
      for (const [name, node] of entries) {
        if (node.kind === 'folder') visit(node, join(path, name))
        else
          writeFileSync(
            join(path, name),
            apply(node, () => random() < keep),
            { mode: 0o600 },
          )
      }
    }
    visit(this.#top, target)
  }

  #enter(path: string, node: Node): void {
    this.#change(path, (entries) => entries.set(basename(path), node))
  }

  #change(path: string, change: (entries: Map<string, Node>) => void): void {
    const folder = this.find(dirname(path))
    if (folder?.kind !== 'folder') return
    change(folder.current)
    folder.pending.push(change)
  }
}

/** The file's bytes with those pending pages that are kept. */
function apply({ durable, pending }: FileNode, isKept: () => boolean): Buffer {
  const ends = pending.map(({ position, data }) => position + (data?.length ?? 0))
  const bytes = Buffer.alloc(Math.max(durable.length, ...ends))
  durable.copy(bytes)
  let size = durable.length
  for (const { position, data } of pending) {
    if (data === null) {
      if (isKept() && position < size) {
        bytes.fill(0, position)
        size = position
      }
      continue
    }
    for (let at = 0; at < data.length; ) {
      const length = Math.min(data.length - at, PAGE - ((position + at) % PAGE))
      if (isKept()) {
        data.copy(bytes, position + at, at, at + length)
        size = Math.max(size, position + at + length)
      }
      at += length
    }
  }
  return bytes.subarray(0, size)
}

function readFolder(path: string): FolderNode {
  const durable = new Map<string, Node>()
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const child = join(path, entry.name)
    if (entry.isDirectory()) durable.set(entry.name, readFolder(child))
    else {
      const bytes = readFileSync(child)
      durable.set(entry.name, { kind: 'file', durable: bytes, size: bytes.length, pending: [] })
    }
  }
  return { kind: 'folder', durable, current: new Map(durable), pending: [] }
}

/** The disks at work. */
export const disks = new Set<LossyDisk>()

function diskOf(path: unknown): LossyDisk | undefined {
  return [...disks].find(({ root }) => typeof path === 'string' && (path === root || path.startsWith(root + sep)))
}

type Real = typeof import('node:fs')
type RealPromises = typeof import('node:fs/promises')

/** node:fs as it is, noting what is done to a disk of ours. */
export function watchedFs(real: Real): Real {
  const noted =
    <A extends unknown[], R>(work: (...args: A) => R, note: (disk: LossyDisk, ...args: A) => void, which = 0) =>
    (...args: A): R => {
      const disk = diskOf(args[which])
      disk?.operation()
      const result = work(...args)
      if (disk) note(disk, ...args)
      return result
    }
  const fs = {
    ...real,
    mkdirSync: noted(real.mkdirSync as (path: string) => void, (disk, path) => disk.createFolder(path)),
    writeFileSync: noted(real.writeFileSync as (path: string, data: string) => void, (disk, path, data) =>
      disk.write(disk.createFile(path), Buffer.from(data)),
    ),
    linkSync: noted(real.linkSync as (from: string, to: string) => void, (disk, from, to) => disk.link(from, to)),
    renameSync: noted(real.renameSync as (from: string, to: string) => void, (disk, from, to) => disk.rename(from, to)),
    // Taking a lock away is the last thing that a process does; one without power does not.
    rmSync: (path: string, options?: { force: boolean }): void => {
      const disk = diskOf(path)
      if (disk?.isOff) return
      real.rmSync(path, options)
      disk?.unlink(path)
    },
    openSync: (path: string, flags: string): number => {
      const file = real.openSync(path, flags)
      opened.set(file, path)
      return file
    },
    fsyncSync: (file: number): void => {
      const path = opened.get(file)
      const disk = diskOf(path)
      disk?.operation()
      real.fsyncSync(file)
      if (path !== undefined) disk?.sync(path)
    },
  }
  return fs as unknown as Real
}

const opened = new Map<number, string>()

/** node:fs/promises as it is, noting what is done to a disk of ours. */
export function watchedPromises(real: RealPromises): RealPromises {
  const watched = {
    ...real,
    async open(path: string, flags: string | number, mode?: number) {
      const disk = diskOf(path)
      disk?.operation()
      const handle = await real.open(path, flags, mode)
      if (!disk) return handle
      const isFolder = (await handle.stat()).isDirectory()
      const isSynchronous = typeof flags === 'number' && (flags & constants.O_DSYNC) !== 0
      const node = isFolder ? undefined : disk.createFile(path)
      const sync = async (): Promise<void> => {
        disk.operation()
        await handle.sync()
        disk.sync(path, node)
      }
      const append = async (data: Uint8Array | string): Promise<void> => {
        disk.operation()
        await handle.appendFile(data)
        disk.write(node!, Buffer.from(data as Uint8Array))
      }
      return {
        stat: () => handle.stat(),
        read: handle.read.bind(handle),
        close: () => handle.close(),
        sync,
        datasync: sync,
        writeFile: append,
        appendFile: append,
        async writev(parts: readonly Uint8Array[], position: number) {
          disk.operation()
          const result = await handle.writev(parts, position)
          disk.write(node!, Buffer.concat(parts).subarray(0, result.bytesWritten), position)
          if (isSynchronous) {
            disk.operation() // the power may go while it is under way
            disk.sync(path, node)
          }
          return result
        },
        async truncate(size: number) {
          disk.operation()
          await handle.truncate(size)
          disk.truncate(node!, size)
        },
      }
    },
    async writeFile(path: string, data: Uint8Array) {
      const disk = diskOf(path)
      disk?.operation()
      await real.writeFile(path, data)
      if (!disk) return
      const node = disk.createFile(path)
      disk.truncate(node, 0)
      disk.write(node, data, 0)
    },
    async rename(from: string, to: string) {
      const disk = diskOf(from)
      disk?.operation()
      await real.rename(from, to)
      disk?.rename(from, to)
    },
    async rm(path: string, options: { force: boolean }) {
      const disk = diskOf(path)
      disk?.operation()
      await real.rm(path, options)
      disk?.unlink(path)
    },
  }
  return watched as unknown as RealPromises
}
