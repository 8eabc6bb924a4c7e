import { MeshflError } from '@meshfl/core'
import { openEngine } from '@meshfl/engine'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { assembleModel } from '../assemble-model.js'
import type { Axes } from '../axes.js'
import { golden, torchFixture } from '../golden-state.fixture.js'
import { decodeModelOf } from '../read-model.js'
import { decodeTorch } from './decode-torch.js'
import { encodeZip } from './zip.js'

const known = { dilations: golden.spec.dilations }
const read = (bytes: Uint8Array, axes: Axes = 'zyx') =>
  assembleModel(decodeModelOf(bytes, 'a.pth').parts, known, axes, 'a.pth')

// Made by PyTorch: fixtures/torch/make_torch.py
const FILES = ['state', 'legacy', 'half', 'bfloat16', 'double', 'parallel', 'checkpoint', 'strided', 'parameters']

test.each(FILES)('%s.pth of PyTorch holds the numbers that PyTorch says, to the bit', (name) => {
  const { spec, state } = read(torchFixture(`${name}.pth`))
  expect(spec).toEqual(golden.spec)
  expect(state).toEqual(golden.state)
})

test.each(['zyx', 'xyz'] as const)('a network of axes %s gives the logits that it gave in PyTorch', async (axes) => {
  const { spec, state } = read(torchFixture('state.pth'), axes)
  const engine = await openEngine({ device: 'wasm' })
  const session = await engine.createSession(spec, golden.grid, { purpose: 'predict' })
  const { logits } = await session.forward(state, { images: golden.image, count: 1 }, { logits: true })
  session.dispose()
  const largest = golden.logits[axes].reduce((max, value, i) => Math.max(max, Math.abs(value - logits![i]!)), 0)
  expect(largest).toBeLessThan(1e-4)
})

/** An archive of torch.save with a pickle and one storage of eight floats. */
const archive = (pickle: string, more: { name: string; data: Uint8Array }[] = []): Uint8Array =>
  encodeZip([
    { name: 'm/data.pkl', data: Buffer.from(pickle, 'latin1') },
    { name: 'm/data/0', data: new Uint8Array(32) },
    ...more,
  ])
const codeOf = (bytes: Uint8Array): string => {
  try {
    decodeTorch(bytes, 'a.pth')
    return 'none'
  } catch (error) {
    expect(error).toBeInstanceOf(MeshflError)
    return (error as MeshflError).code
  }
}
const STORAGE = '(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x08tQ'
/** {'w': a tensor of offset, shape (n, 1, 1, 1, 1) and first stride} */
const tensorOf = (offset: string, n: string, stride: string): string =>
  `\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(${STORAGE}${offset}(${n}K\x01K\x01K\x01K\x01t(${stride}K\x01K\x01K\x01K\x01t\x89}tRs.`

test('a class or function that no state dict needs is refused by its name', () => {
  for (const name of ['os\nsystem', 'builtins\neval', 'torch\nload', '__torch__\nMeshNet', 'torch.nn\nModule']) {
    expect(codeOf(archive(`\x80\x02c${name}\n(X\x04\0\0\0truetR.`))).toBe('TORCH_GLOBAL_REFUSED')
  }
  // By the later operation too, whose names lie on the stack.
  expect(codeOf(archive('\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.'))).toBe('TORCH_GLOBAL_REFUSED')
  // A name of any length is cut, in what is shown and in what is kept of it.
  expect(() => decodeTorch(archive(`\x80\x02c${'a'.repeat(100_000)}\nb\n.`), 'a.pth')).toThrow(
    expect.objectContaining({
      message: expect.stringMatching(/^.{80,200}$/),
      data: { global: `${'a'.repeat(80)}...` },
    }),
  )
})

test('a tensor is held to its storage: what lies outside, before or beyond is refused before anything is allocated', () => {
  expect(codeOf(archive(tensorOf('K\0', 'K\x08', 'K\x01')))).toBe('none')
  expect(codeOf(archive(tensorOf('K\x01', 'K\x08', 'K\x01')))).toBe('IMPORT_TENSOR_MALFORMED')
  expect(codeOf(archive(tensorOf('K\0', 'K\x05', 'K\x02')))).toBe('IMPORT_TENSOR_MALFORMED')
  expect(codeOf(archive(tensorOf('J\xff\xff\xff\xff', 'K\x02', 'K\x01')))).toBe('IMPORT_TENSOR_MALFORMED')
  expect(codeOf(archive(tensorOf('K\x07', 'K\x08', 'J\xff\xff\xff\xff')))).toBe('IMPORT_TENSOR_MALFORMED')
  // A stride of nothing makes any size of one number.
  expect(codeOf(archive(tensorOf('K\0', 'J\0\0\0\x40', 'K\0')))).toBe('IMPORT_TOO_LARGE')
})

test('what a small file names many times over is looked at once, and allocated within a bound', () => {
  const item = (name: string): string => `X\x02\0\0\0${name}`
  const names = Array.from({ length: 200 }, (_, i) => String.fromCharCode(32 + Math.floor(i / 16), 65 + (i % 16)))
  // Two hundred tensors of sixteen million numbers, all of them the first of eight.
  const tensor = tensorOf('K\0', 'J\0\0\0\x01', 'K\0').slice(9, -2)
  expect(codeOf(archive(`\x80\x02}(${names.map((name) => item(name) + tensor).join('')}u.`))).toBe('IMPORT_TOO_LARGE')
  // A dictionary of a hundred thousand entries, a hundred thousand times.
  const key = (i: number): string => `J${String.fromCharCode(i & 255, (i >> 8) & 255, i >> 16, 0)}`
  const inner = `}q\0(${Array.from({ length: 100_000 }, (_, i) => `${key(i)}N`).join('')}u`
  const outer = Array.from({ length: 100_000 }, (_, i) => `${key(i)}h\0`).join('')
  expect(codeOf(archive(`\x80\x02}(K\0${inner}${outer}u.`))).toBe('TORCH_UNSUPPORTED')
  // A key of twenty million letters in as many dictionaries as there may be: quoted whole, it would take minutes.
  const long = `X${String.fromCharCode(0, 0x2d, 0x31, 1)}${'a'.repeat(20_000_000)}`
  const dictionaries = Array.from({ length: 60_000 }, (_, i) => `${key(i)}}h\0Ns`).join('')
  expect(codeOf(archive(`\x80\x02}${long}q\x000(${dictionaries}u.`))).toBe('TORCH_UNSUPPORTED')
})

test('a tensor of whole numbers is refused, but for the counter of a BatchNorm', () => {
  const weight = tensorOf('K\0', 'K\x08', 'K\x01').slice(2, -1)
  const whole = (name: string): string =>
    `X${String.fromCharCode(name.length)}\0\0\0${name}ctorch._utils\n_rebuild_tensor_v2\n(${STORAGE.replace('FloatStorage', 'LongStorage')}K\0(K\x01t(K\x01t\x89}tR`
  const file = (name: string): Uint8Array =>
    archive(`\x80\x02${weight.slice(0, 1)}(${weight.slice(1, -1)}${whole(name)}u.`)
  expect(codeOf(file('b.num_batches_tracked'))).toBe('none')
  expect(codeOf(file('b.bias'))).toBe('IMPORT_NOT_MESHNET')
})

test('a pickle that is not of torch.save is told', () => {
  expect(codeOf(Buffer.from('\x80\x02}.', 'latin1'))).toBe('TORCH_MALFORMED')
  const legacy = torchFixture('legacy.pth')
  expect(codeOf(legacy)).toBe('none')
  expect(codeOf(legacy.subarray(0, -1))).toBe('TORCH_MALFORMED')
})

test('a storage that is a part of another one is refused, as files before torch 1.6 may have it', () => {
  const file = (view: string): Buffer => {
    const legacy = Buffer.from(torchFixture('legacy.pth')).toString('latin1')
    // The first persistent id ends with its view: None.
    const at = legacy.search(/Ntq.Q/s)
    expect(at).toBeGreaterThan(0)
    return Buffer.from(legacy.slice(0, at) + view + legacy.slice(at + 1), 'latin1')
  }
  expect(codeOf(file('(X\x01\0\0\x000K\0K\x08t'))).toBe('none')
  expect(codeOf(file('(X\x01\0\0\x000K\x04K\x08t'))).toBe('TORCH_UNSUPPORTED')
})

test('numbers of the other byte order are refused', () => {
  const big = [{ name: 'm/byteorder', data: Buffer.from('big') }]
  expect(codeOf(archive(tensorOf('K\0', 'K\x08', 'K\x01'), big))).toBe('TORCH_UNSUPPORTED')
})

test('two state dicts in one file are told apart by nobody, and refused', () => {
  const one = tensorOf('K\0', 'K\x08', 'K\x01').slice(2, -1)
  expect(codeOf(archive(`\x80\x02}(X\x01\0\0\0a${one}X\x03\0\0\0ema${one}u.`))).toBe('TORCH_UNSUPPORTED')
  expect(codeOf(archive(`\x80\x02}(X\x01\0\0\0a${one}X\x05\0\0\0epochK\x03u.`))).toBe('none')
  expect(codeOf(archive('\x80\x02}.'))).toBe('TORCH_UNSUPPORTED')
})

test('whatever the bytes, the answer is a model or words', () => {
  const good = FILES.map((name) => torchFixture(`${name}.pth`))
  const never = (bytes: Uint8Array): void => {
    try {
      read(bytes)
    } catch (error) {
      if (!(error instanceof MeshflError)) throw error
    }
  }
  for (const bytes of good) for (let length = 0; length < bytes.length; length += 41) never(bytes.subarray(0, length))
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(fc.constantFrom(...good), damage, (bytes, flips) => {
      const damaged = bytes.slice()
      for (const [at, value] of flips) damaged[at % damaged.length] = value
      never(damaged)
    }),
    { numRuns: 2000 },
  )
  // Past the checksums: the pickle alone.
  const pickle = Buffer.from(tensorOf('K\0', 'K\x08', 'K\x01'), 'latin1')
  fc.assert(
    fc.property(damage, fc.nat(pickle.length), (flips, length) => {
      const damaged = Buffer.from(pickle)
      for (const [at, value] of flips) damaged[at % damaged.length] = value
      never(archive(damaged.subarray(0, Math.max(2, length)).toString('latin1')))
      never(archive(damaged.toString('latin1')))
    }),
    { numRuns: 2000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => never(archive(Buffer.from(noise).toString('latin1')))),
  )
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => never(noise)))
})
