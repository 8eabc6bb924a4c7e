import { crc32, deflateRawSync } from 'node:zlib'
import { MeshflError } from '@meshfl/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeZip, openZip } from './zip.js'

const codeOf = (run: () => unknown): string => {
  try {
    run()
    return 'none'
  } catch (error) {
    expect(error).toBeInstanceOf(MeshflError)
    return (error as MeshflError).code
  }
}

test('what is packed is unpacked, and begins at a multiple of 64 as torch.save has it', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(fc.stringMatching(/^[a-zü/]+$/), fc.uint8Array()), { selector: ([name]) => name }),
      (files) => {
        const bytes = encodeZip(files.map(([name, data]) => ({ name: name, data })))
        const archive = openZip(bytes, 'a.zip')
        for (const [name, data] of files) {
          const content = archive.read(name)
          expect([...content]).toEqual([...data])
          if (data.length > 0) expect((content.byteOffset - bytes.byteOffset) % 64).toBe(0)
        }
      },
    ),
  )
})

/** An archive of one deflated file that says of itself what it is told to. */
function deflated(content: Uint8Array, bytes: number): Uint8Array {
  const packed = deflateRawSync(content)
  const archive = Buffer.from(encodeZip([{ name: 'a', data: packed }]))
  for (const at of [8, archive.lastIndexOf('PK\x01\x02') + 10]) archive.writeUInt16LE(8, at)
  const central = archive.lastIndexOf('PK\x01\x02')
  archive.writeUInt32LE(crc32(content), central + 16)
  archive.writeUInt32LE(bytes, central + 24)
  return archive
}

test('a compressed file is unpacked to the size that it says, and no further', () => {
  const zeros = new Uint8Array(1 << 20)
  expect(openZip(deflated(zeros, zeros.length), 'a.zip').read('a')).toHaveLength(zeros.length)
  expect(codeOf(() => openZip(deflated(zeros, 1000), 'a.zip').read('a'))).toBe('TORCH_MALFORMED')
  expect(codeOf(() => openZip(deflated(zeros, 2 ** 20 + 1), 'a.zip').read('a'))).toBe('TORCH_MALFORMED')
  expect(codeOf(() => openZip(deflated(zeros, 2 ** 31), 'a.zip').read('a'))).toBe('IMPORT_TOO_LARGE')
})

test('a byte that was changed is noticed by its checksum', () => {
  const bytes = encodeZip([{ name: 'a', data: Buffer.from('weights') }])
  bytes[bytes.indexOf(0x77)]! += 1
  expect(codeOf(() => openZip(bytes, 'a.zip').read('a'))).toBe('TORCH_MALFORMED')
})
