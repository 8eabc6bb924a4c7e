import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeSafetensors } from '@meshfl/core'
import { expect, test } from 'vitest'
import { torchFixture } from './golden-state.fixture.js'
import { readModel } from './read-model.js'

const folder = mkdtempSync(join(tmpdir(), 'meshfl-read-'))
const write = (name: string, bytes: Uint8Array | string): string => {
  writeFileSync(join(folder, name), bytes)
  return join(folder, name)
}
const tensors = [
  { name: '0.weight', dtype: 'F32' as const, shape: [1, 1, 3, 3, 3], data: new Uint8Array(108) },
  { name: '1.weight', dtype: 'F32' as const, shape: [2, 1, 1, 1, 1], data: new Uint8Array(8) },
]

test('what a file holds tells its format, not its name', async () => {
  expect(await readModel(write('a.onnx', torchFixture('state.pth')))).toMatchObject({ format: 'torch' })
  expect(await readModel(write('b.onnx', torchFixture('legacy.pth')))).toMatchObject({ format: 'torch' })
  expect(await readModel(write('c.pth', torchFixture('folded.onnx')))).toMatchObject({ format: 'onnx' })
  // A header of 0x7b20 bytes: the file begins with a blank and a brace, as JSON may.
  const bytes = Buffer.from(encodeSafetensors({ tensors, metadata: {} }))
  const header = Buffer.alloc(8 + 0x7b20, ' ')
  header.writeBigUInt64LE(0x7b20n)
  const length = Number(bytes.readBigUInt64LE())
  bytes.copy(header, 8, 8, 8 + length)
  const file = Buffer.concat([header, bytes.subarray(8 + length)])
  expect(file.toString('latin1', 0, 2)).toBe(' {')
  expect(await readModel(write('d.json', file))).toMatchObject({ format: 'safetensors' })
})

test('a file of another kind, a device and a file that is not there are told', async () => {
  const text = write('e.pth', '<!DOCTYPE html>')
  await expect(readModel(text)).rejects.toMatchObject({ code: 'IMPORT_FORMAT_UNKNOWN' })
  await expect(readModel(write('f.pth', ''))).rejects.toMatchObject({ code: 'IMPORT_FORMAT_UNKNOWN' })
  await expect(readModel(write('g.json', '{"a": 1}'))).rejects.toMatchObject({ code: 'TFJS_MALFORMED' })
  await expect(readModel('/dev/null')).rejects.toMatchObject({ code: 'FILE_NOT_READABLE' })
  await expect(readModel(join(folder, 'none.pth'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
})
