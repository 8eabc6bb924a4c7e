import { crc32, inflateRawSync } from 'node:zlib'
import { MeshflError } from '@meshfl/core'
import { MOST_MODEL_BYTES } from '../network-parts.js'

/** The files in a zip archive, each read when it is asked for. */
export interface ZipArchive {
  readonly names: readonly string[]
  /** @throws MeshflError `TORCH_MALFORMED`, `IMPORT_TOO_LARGE` */
  read(name: string): Uint8Array
}

interface Entry {
  method: number
  packedBytes: number
  bytes: number
  checksum: number
  at: number
}

const END = 0x06054b50
const CENTRAL = 0x02014b50
const LOCAL = 0x04034b50
/** The end of an archive, and the longest comment behind it. */
const LONGEST_END = 22 + 0xffff

/**
 * Opens a zip archive as torch.save writes it: stored or deflated files of less than 4 GiB. Sizes come from the central directory and
 * are checked before anything is allocated; what all files unpack to is bounded.
 * Source: APPNOTE.TXT 6.3.10 (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT).
 * @param source what to call the file in an error
 * @throws MeshflError `TORCH_MALFORMED`
 */
export function openZip(bytes: Uint8Array, source: string): ZipArchive {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const malformed = (what: string): MeshflError =>
    new MeshflError('TORCH_MALFORMED', `${source} is no whole zip archive: ${what}`, {
      hint: 'check that the file was copied whole',
    })
  const entries = readDirectory(bytes, view, malformed)
  let left = MOST_MODEL_BYTES
  return {
    names: [...entries.keys()],
    read(name) {
      const entry = entries.get(name)
      if (!entry) throw malformed(`it has no ${name.slice(0, 200)}`)
      left -= entry.bytes
      if (left < 0) {
        throw new MeshflError('IMPORT_TOO_LARGE', `${source} unpacks to more than ${MOST_MODEL_BYTES} bytes`, {
          hint: 'save the state dict of the model alone',
        })
      }
      const content = unpack(bytes, view, entry)
      if (typeof content === 'string') throw malformed(`${name} ${content}`)
      if (crc32(content) !== entry.checksum) throw malformed(`the checksum of ${name} is not that of its bytes`)
      return content
    },
  }
}

function readDirectory(bytes: Uint8Array, view: DataView, malformed: (what: string) => MeshflError) {
  let end = bytes.byteLength - 22
  const first = Math.max(0, bytes.byteLength - LONGEST_END)
  while (
    end >= first &&
    !(view.getUint32(end, true) === END && end + 22 + view.getUint16(end + 20, true) <= view.byteLength)
  )
    end--
  if (end < first) throw malformed('its end is missing')
  const count = view.getUint16(end + 10, true)
  let at = view.getUint32(end + 16, true)
  const entries = new Map<string, Entry>()
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes.byteLength || view.getUint32(at, true) !== CENTRAL) throw malformed('its directory is damaged')
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true)) as [
      number,
      number,
      number,
    ]
    const next = at + 46 + nameBytes + extraBytes + commentBytes
    if (next > bytes.byteLength) throw malformed('its directory is damaged')
    const name = Buffer.from(bytes.buffer, bytes.byteOffset + at + 46, nameBytes).toString('utf8')
    if ((view.getUint16(at + 8, true) & 1) !== 0) throw malformed(`${name} is encrypted`)
    if (entries.has(name)) throw malformed(`it has ${name} twice`)
    entries.set(name, {
      method: view.getUint16(at + 10, true),
      checksum: view.getUint32(at + 16, true),
      packedBytes: view.getUint32(at + 20, true),
      bytes: view.getUint32(at + 24, true),
      at: view.getUint32(at + 42, true),
    })
    at = next
  }
  return entries
}

/** The content, or what is wrong with it. */
function unpack(bytes: Uint8Array, view: DataView, entry: Entry): Uint8Array | string {
  const { at, method, packedBytes } = entry
  if (at + 30 > bytes.byteLength || view.getUint32(at, true) !== LOCAL) return 'is not where the directory says'
  const begin = at + 30 + view.getUint16(at + 26, true) + view.getUint16(at + 28, true)
  if (begin + packedBytes > bytes.byteLength) return 'ends before its bytes do'
  const packed = bytes.subarray(begin, begin + packedBytes)
  if (method === 0) return packedBytes === entry.bytes ? packed : 'has two sizes'
  if (method !== 8) return `is packed in a way (${method}) that torch does not use`
  try {
    const content = inflateRawSync(packed, { maxOutputLength: Math.max(1, entry.bytes) })
    return content.byteLength === entry.bytes ? content : 'has another size than it says'
  } catch {
    return 'does not unpack to the size that it says'
  }
}

/** A file to pack. */
interface ZipFile {
  name: string
  data: Uint8Array
}

/** Where the content of a file begins, as torch.save does: a multiple of this, so that it can be mapped into memory. */
const ALIGNMENT = 64
/** 1980-01-01, the first day that zip knows: the same files give the same bytes. */
const DATE = 0x21

/** Packs files into a zip archive, none compressed. */
export function encodeZip(files: readonly ZipFile[]): Uint8Array {
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let at = 0
  for (const { name, data } of files) {
    const nameBytes = Buffer.from(name)
    const unaligned = at + 30 + nameBytes.length + 4
    // An extra field that only fills: the identifier that torch uses, and its length.
    const extra = Buffer.alloc(4 + ((ALIGNMENT - (unaligned % ALIGNMENT)) % ALIGNMENT), 'Z')
    extra.write('FB')
    extra.writeUInt16LE(extra.length - 4, 2)
    // From the version that unpacks it to the length of the name: the same in both headers.
    const shared = Buffer.alloc(24)
    shared.writeUInt16LE(20, 0)
    shared.writeUInt16LE(0x800, 2) // names are UTF-8
    shared.writeUInt16LE(DATE, 8)
    shared.writeUInt32LE(crc32(data), 10)
    shared.writeUInt32LE(data.length, 14)
    shared.writeUInt32LE(data.length, 18)
    shared.writeUInt16LE(nameBytes.length, 22)
    const extraLength = Buffer.alloc(2)
    extraLength.writeUInt16LE(extra.length)
    const local = [word(LOCAL), shared, extraLength, nameBytes, extra, Buffer.from(data)]
    const rest = Buffer.alloc(16) // no extra field, no comment, disk 0, no attributes, and where the file is
    rest.writeUInt32LE(at, 12)
    directory.push(word(CENTRAL), Buffer.from([20, 0]), shared, rest, nameBytes)
    parts.push(...local)
    at += local.reduce((sum, { length }) => sum + length, 0)
  }
  const end = Buffer.alloc(22)
  end.writeUInt32LE(END, 0)
  end.writeUInt16LE(files.length, 8)
  end.writeUInt16LE(files.length, 10)
  end.writeUInt32LE(
    directory.reduce((sum, { length }) => sum + length, 0),
    12,
  )
  end.writeUInt32LE(at, 16)
  return Buffer.concat([...parts, ...directory, end])
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
