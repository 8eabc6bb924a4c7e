import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import type { Precision } from './engine.js'
import { cpuInstructionSets } from './native/cpu-engine.js'
import { openEngine, probeEngines } from './open-engine.js'

const folder = mkdtempSync(join(tmpdir(), 'meshfl-open-'))
afterAll(() => rmSync(folder, { recursive: true }))
afterEach(() => void vi.unstubAllEnvs())

const built =
  process.env.MESHFL_NATIVE ?? fileURLToPath(new URL('../../../native/build/Release/meshfl.node', import.meta.url))
const sets = { fp32: await cpuInstructionSets('fp32'), bf16: await cpuInstructionSets('bf16') }
const missing = sets.fp32.length > 0 ? '' : ': the addon is not built'

/** An addon that never answers to a trial of these backends, as one with a driver that hangs. */
function hangingFor(...backends: string[]): void {
  const file = join(folder, `${backends.join('-')}.cjs`)
  const rest = existsSync(built) ? `module.exports = require(${JSON.stringify(built)})` : ''
  writeFileSync(file, `while (${JSON.stringify(backends)}.includes(process.argv.at(-1))) {}\n${rest}`)
  vi.stubEnv('MESHFL_NATIVE', file)
}

const refusal = (options: Parameters<typeof openEngine>[0]) =>
  openEngine(options).then(
    ({ name }) => expect.fail(`it opened ${name}`),
    (error) => error,
  )

test('an addon that never answers does not hold up the wasm engine when that is asked for', async () => {
  hangingFor('cuda', 'cpu')
  vi.stubEnv('MESHFL_REQUIRE', '')
  expect((await openEngine({ device: 'wasm' })).name).toBe('wasm')
})

test.skipIf(missing !== '')(
  `a GPU driver that hangs does not hold up the cpu engine when that is asked for${missing}`,
  async () => {
    hangingFor('cuda')
    vi.stubEnv('MESHFL_REQUIRE', 'wasm')
    expect((await openEngine({ device: 'cpu' })).name).toBe('cpu')
  },
)

test('what MESHFL_REQUIRE names must be there, whichever engine is asked for', async () => {
  vi.stubEnv('MESHFL_NATIVE', join(folder, 'none.node'))
  vi.stubEnv('MESHFL_REQUIRE', 'wasm,cpu')
  expect(await refusal({ device: 'wasm' })).toMatchObject({
    code: 'ENGINE_UNAVAILABLE',
    message: expect.stringMatching(/^MESHFL_REQUIRE asks for cpu: the native addon is not built/),
  })
})

test('a device or a required engine of another name is refused with the names that there are', async () => {
  expect(await refusal({ device: 'tpu' as 'cpu' })).toMatchObject({
    code: 'ENGINE_UNAVAILABLE',
    kind: 'usage',
    message: 'the device names an unknown engine: tpu',
    hint: 'name cuda, cpu, wasm',
  })
  vi.stubEnv('MESHFL_REQUIRE', 'tpu')
  expect(await refusal({ device: 'wasm' })).toMatchObject({ message: 'MESHFL_REQUIRE names an unknown engine: tpu' })
})

test('without an addon the wasm engine is opened, unless an instruction set of the cpu engine was asked for', async () => {
  vi.stubEnv('MESHFL_NATIVE', join(folder, 'none.node'))
  vi.stubEnv('MESHFL_REQUIRE', '')
  vi.stubEnv('MESHFL_CPU_ISA', '')
  expect((await openEngine()).name).toBe('wasm')
  vi.stubEnv('MESHFL_CPU_ISA', 'portable')
  expect(await refusal({})).toMatchObject({
    code: 'ENGINE_UNAVAILABLE',
    kind: 'usage',
    message: expect.stringMatching(/^MESHFL_CPU_ISA asks for cpu: the native addon is not built/),
  })
  expect((await openEngine({ device: 'wasm' })).name).toBe('wasm')
})

describe.skipIf(missing !== '')(`MESHFL_CPU_ISA${missing}`, () => {
  test('a word that is no instruction set of this CPU is refused with those that are', async () => {
    vi.stubEnv('MESHFL_CPU_ISA', 'avx-512')
    for (const precision of ['fp32', 'bf16'] as const) {
      expect(await refusal({ device: 'cpu', precision })).toMatchObject({
        code: 'ENGINE_UNAVAILABLE',
        kind: 'usage',
        message: `cannot open cpu: cannot compute in ${precision} with avx-512: this CPU and build have ${sets[precision].join(', ')}`,
      })
    }
    const probes = await probeEngines()
    expect(probes.map(({ name }) => name)).toEqual(['cuda', 'cpu', 'wasm'])
    if (probes[0]?.available) return // a GPU is preferred, and opened without a look at the CPU
    expect(await refusal({})).toMatchObject({ kind: 'usage', message: expect.stringContaining(sets.fp32.join(', ')) })
  })

  test.each(['fp32', 'bf16'] as const)(
    'every instruction set of this CPU can be had in %s',
    async (precision: Precision) => {
      for (const name of sets[precision]) {
        vi.stubEnv('MESHFL_CPU_ISA', name)
        expect((await openEngine({ device: 'cpu', precision })).device.instructionSet).toBe(name)
      }
    },
  )

  const onlyBf16 = sets.bf16.filter((name) => !sets.fp32.includes(name))
  const none = onlyBf16.length > 0 ? '' : ': this CPU has none'
  test.skipIf(none !== '')(`one for bf16 alone says which precision it is for${none}`, async () => {
    vi.stubEnv('MESHFL_CPU_ISA', onlyBf16[0])
    expect(await refusal({ device: 'cpu' })).toMatchObject({
      kind: 'usage',
      hint: 'set MESHFL_CPU_ISA to one of them, or not at all, or compute in bf16',
    })
  })
})
