import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { describeFake, isState, Loopback, until } from './loopback.fixture.js'

let loopback: Loopback
afterEach(() => loopback.close())

/** Starts a federation and lets its only site go when it has begun to train with an engine. */
async function begunWith(engine: object): Promise<void> {
  loopback = new Loopback(1, { rounds: 2 })
  await loopback.start()
  const site = loopback.join('site-1', { describe: describing(engine), delayMs: 60_000 })
  await until(() => loopback.events.some(isState('site-1', 'training')))
  site.stop()
  await expect(site.finished).rejects.toMatchObject({ code: 'INTERRUPTED' })
}

const CPU = { engine: 'cpu', instructionSet: 'avx512', precision: 'fp32' }
const describing = (engine: object) => async () => describeFake('site-1', engine)

test.each([
  ['engine', { ...CPU, engine: 'cuda' }, 'cuda (avx512, fp32)'],
  ['instruction set', { ...CPU, instructionSet: 'avx2' }, 'cpu (avx2, fp32)'],
  ['precision', { ...CPU, precision: 'bf16' }, 'cpu (avx512, bf16)'],
])(
  'a site that comes back with another %s is refused with words that name both, and the one of before goes on',
  async (_, other, name) => {
    await begunWith(CPU)
    await expect(loopback.join('site-1', { describe: describing(other) }).finished).rejects.toMatchObject({
      code: 'SITE_ENGINE_CHANGED',
      message: `the coordinator says: site-1 was admitted with cpu (avx512, fp32), it now computes with ${name}`,
      hint: expect.stringMatching(/--allow-engine-change/),
    })
    const again = loopback.join('site-1', { describe: describing(CPU) })
    const [result] = await Promise.all([loopback.coordinator.finished, again.finished])
    expect(result.rounds).toBe(2)
    expect(loopback.logs('warn').filter((line) => /goes on with/.test(line))).toEqual([])
  },
)

test('a site that may goes on with another engine: everybody is warned, it is written down, and is the engine from then on', async () => {
  await begunWith(CPU)
  const other = { ...CPU, instructionSet: 'avx2' }
  const moved = loopback.join('site-1', { describe: describing(other), allowEngineChange: true, delayMs: 60_000 })
  const isWarning = (line: string): boolean =>
    line ===
    'site-1 goes on with cpu (avx2, fp32), so far it was cpu (avx512, fp32): the bits of this run cannot be computed again'
  await until(() => loopback.logs('warn').some(isWarning))
  const { sites } = JSON.parse(readFileSync(join(loopback.run, 'sites.json'), 'utf8'))
  expect(sites[0].description).toMatchObject(other)
  moved.stop()
  await moved.finished.catch(() => undefined)
  await expect(loopback.join('site-1', { describe: describing(CPU) }).finished).rejects.toMatchObject({
    code: 'SITE_ENGINE_CHANGED',
  })
  const again = loopback.join('site-1', { describe: describing(other) })
  await Promise.all([loopback.coordinator.finished, again.finished])
  expect(loopback.logs('warn').filter(isWarning)).toHaveLength(1)
})
