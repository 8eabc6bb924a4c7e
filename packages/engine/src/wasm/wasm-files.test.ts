import { readFile } from 'node:fs/promises'
import { sha256 } from '@meshfl/core'
import { expect, test } from 'vitest'
import { wasmFile } from './module.js'

const source = JSON.parse(await readFile(wasmFile('source.json'), 'utf8')) as {
  sourceSha256: string
  wasm: Record<string, string>
}

test('the committed .wasm files were built from the crate as it stands', async () => {
  const script = new URL('../../../../native/kernels/build-wasm.js', import.meta.url)
  const { sourceSha256 } = (await import(script.href)) as { sourceSha256(): string }
  expect(source.sourceSha256, 'run `npm run build:wasm`').toBe(sourceSha256())
})

test.each(Object.entries(source.wasm))('%s is the file that was built', async (name, expected) => {
  expect(sha256(await readFile(wasmFile(name)))).toBe(expected)
})

test.each(Object.keys(source.wasm))('%s names no folder of the machine that built it', async (name) => {
  const text = (await readFile(wasmFile(name))).toString('latin1')
  expect(text).not.toMatch(/\/root\/|\/home\/|\/work\/|\/Users\/|\.rs\b/)
})
