import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import {
  ACTIVATIONS,
  MODES,
  NORMALIZATIONS,
  OUTCOME,
  PRECISIONS,
  REGIONS,
  REQUEST_BYTES,
  REQUEST_WORDS,
} from '../session/request.js'
import { WASM_ABI_VERSION } from '../wasm/kernels.js'
import { wasmFile } from '../wasm/module.js'
import { type Addon, loadAddon, NATIVE_ABI_VERSION, STATUS } from './addon.js'

const native = new URL('../../../../native/', import.meta.url)
const read = (path: string): Promise<string> => readFile(new URL(path, native), 'utf8')
const header = (await read('include/meshfl.h')).replaceAll(/\/\*[\s\S]*?\*\//g, '')
const kernels = (
  await Promise.all(['request', 'plan', 'native/error'].map((name) => read(`kernels/src/${name}.rs`)))
).join('\n')
const session = await read('kernels/src/native/mod.rs')

const camelCase = (name: string): string => name.toLowerCase().replaceAll(/_(\w)/g, (_, letter) => letter.toUpperCase())

/** The members of an enum of the header, by their names here. */
function enumOf(name: string): Record<string, number> {
  const [, body] = new RegExp(`enum ${name} \\{([^}]*)\\}`).exec(header)!
  const members = [...body!.matchAll(/MFL_(\w+) = (\d+)/g)]
  return Object.fromEntries(members.map(([, member, value]) => [camelCase(member!), Number(value)]))
}

/** The names of a struct's members, in their order. */
function membersOf(name: string): string[] {
  const [, body] = new RegExp(`struct ${name} \\{([\\s\\S]*?)\\n\\}`).exec(header)!
  return [...body!.matchAll(/(?:\(\*(\w+)\)\([^;]*|(\w+)(?:\[\w+\])?);/g)].map(
    ([, pointer, field]) => pointer ?? field!,
  )
}

/** The fields of a struct of the Rust crate. */
function fieldsOf(source: string, name: string): string[] {
  const [, body] = new RegExp(`struct ${name} \\{([\\s\\S]*?)\\n\\}`).exec(source)!
  return [...body!.matchAll(/^ {4}(?:pub )?(\w+):/gm)].map(([, field]) => field!)
}

test('the request is the same in the header, in Rust and here', () => {
  const words = membersOf('mfl_request')
  expect(words).toEqual(fieldsOf(kernels, 'Request'))
  expect(words.map(camelCase)).toEqual([...REQUEST_WORDS, 'dilations'])
})

test('the table of functions is the same in the header and in Rust', () => {
  expect(membersOf('mfl_backend')).toEqual(fieldsOf(session, 'Backend'))
})

test('regions, statuses and choices have the same numbers in the header and here', () => {
  expect(enumOf('mfl_region')).toEqual(Object.fromEntries(REGIONS.map((name, index) => [name, index])))
  expect(enumOf('mfl_status')).toEqual(STATUS)
  expect(STATUS).toMatchObject({ ok: OUTCOME.done, cancelled: OUTCOME.cancelled, badLabel: OUTCOME.badLabel })
  expect(enumOf('mfl_mode')).toEqual(MODES)
  expect(enumOf('mfl_activation')).toEqual(ACTIVATIONS)
  expect(enumOf('mfl_precision')).toEqual(PRECISIONS)
  const { batchNorm, instanceNorm, noNorm } = enumOf('mfl_normalization')
  expect({ batch: batchNorm, instance: instanceNorm, none: noNorm }).toEqual(NORMALIZATIONS)
})

test('regions and statuses have the same numbers in Rust', () => {
  const [, statuses] = /enum Status \{([^}]*)\}/.exec(kernels)!
  const named = [...statuses!.matchAll(/(\w+) = (\d+)/g)].map(([, name, value]) => [
    name![0]!.toLowerCase() + name!.slice(1),
    Number(value),
  ])
  expect(Object.fromEntries(named)).toEqual(STATUS)
  const [, regions] = /enum Region \{([\s\S]*?)\n\}/.exec(kernels)!
  const names = [...regions!.matchAll(/^ {4}(\w+),/gm)].map(([, name]) => name![0]!.toLowerCase() + name!.slice(1))
  expect(names.slice(0, REGIONS.length)).toEqual([...REGIONS])
})

test('the header, the addon and the WebAssembly have the ABI that is expected here', async () => {
  const [, version] = /#define MFL_ABI_VERSION (\d+)/.exec(header)!
  expect(Number(version)).toBe(NATIVE_ABI_VERSION)
  expect(session).toContain(`ABI_VERSION: u32 = ${NATIVE_ABI_VERSION};`)
  const memory = new WebAssembly.Memory({ initial: 32, maximum: 65536, shared: true })
  const module = await WebAssembly.compile(await readFile(wasmFile('meshfl-simd128.wasm')))
  const { exports } = new WebAssembly.Instance(module, { env: { memory } })
  expect((exports.mfl_abi_version as () => number)()).toBe(WASM_ABI_VERSION)
  const expected = ['abi_version', 'cancel_flag', 'offset', 'plan', 'request', 'reset', 'run'].map(
    (name) => `mfl_${name}`,
  )
  expect(
    Object.keys(exports)
      .filter((name) => name.startsWith('mfl_'))
      .sort(),
  ).toEqual(expected)
})

const found = await loadAddon('cpu')
const missing = 'addon' in found ? '' : `: not here: ${found.reason}`
test.skipIf(missing !== '')(`the addon exports what is declared here${missing}`, () => {
  const { addon } = found as { addon: Addon }
  expect(Object.keys(addon).sort()).toEqual([
    'Session',
    'abiVersion',
    'devices',
    'instructionSets',
    'measurePeak',
    'requestBytes',
  ])
  const methods = Object.getOwnPropertyNames(addon.Session.prototype).filter((name) => name !== 'constructor')
  expect(methods.sort()).toEqual(['cancel', 'dispose', 'plan', 'prepare', 'read', 'run', 'write'])
  expect(addon.abiVersion).toBe(NATIVE_ABI_VERSION)
  expect(addon.requestBytes).toBe(REQUEST_BYTES)
})
