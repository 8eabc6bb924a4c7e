import { join } from 'node:path'
import { cpuInstructionSets } from '@meshfl/engine'
import { expect, test } from 'vitest'
import { cli, temporaryFolder } from './cli.js'
import { makeDataset } from './made-brains.js'

const isaSets = await cpuInstructionSets()
const missing = isaSets.length > 0 ? '' : ': the addon is not built'

test.skipIf(missing !== '')(
  `an instruction set that this CPU lacks ends training before it begins, and doctor lists every engine still${missing}`,
  async () => {
    const dataset = await makeDataset(1)
    const env = { MESHFL_CPU_ISA: 'avx-512' }
    const out = join(temporaryFolder('choice'), 'run')
    const trained = await cli(['train', dataset, '--out', out, '--device', 'cpu', '--rounds', '1', '--json'], { env })
    expect(trained).toMatchObject({ code: 2, last: { type: 'error', code: 'ENGINE_UNAVAILABLE' } })
    expect(trained.stdout).toContain(isaSets.join(', '))
    const doctor = await cli(['doctor', '--json'], { env })
    expect(doctor.code).toBe(0)
    const engines = doctor.events.filter((event) => (event as { type: string }).type === 'engine')
    expect(engines).toMatchObject([
      { name: 'cuda' },
      { name: 'cpu', available: false, reason: expect.stringContaining('avx-512') },
      { name: 'wasm', available: true },
    ])
  },
)

test('more threads than an engine takes are refused in a sentence that names the limit', async () => {
  for (const command of ['train', 'demo', 'simulate', 'bench']) {
    const { code, stderr } = await cli([command, '--threads', '65'])
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: expect.stringMatching(/'65' is invalid. expected a whole number from 1 to 64\n$/),
    })
  }
})
