import { fileURLToPath } from 'node:url'
import { StudySchema } from '@meshfl/core'
import {
  cpuInstructionSets,
  createCpuEngine,
  type Engine,
  modelLayout,
  openEngine,
  type SessionOptions,
} from '@meshfl/engine'
import { type GoldenCase, readGoldenCases } from '@meshfl/testkit'
import { describe, expect, test } from 'vitest'
import { cosine, relativeMaximum } from './compare.js'
import { openCudaShim } from './cuda-shim.js'
import { testMissing } from './engines.js'
import { trainRounds } from './train-rounds.js'

// A bf16 has 8 bits: an activation and a weight are each off by up to 1/512.
const LOGITS = 0.03 // of the largest logit
const LOSS = 0.01
const COSINE = 0.999 // of all gradients with those of PyTorch in fp32

const golden = readGoldenCases(fileURLToPath(new URL('../../fixtures/golden', import.meta.url)))
const trainable = golden.filter(({ step }) => step !== null)
const defaultCase = golden.find(({ name }) => name === 'default')!

test('an engine without bf16 refuses it, with a hint', async () => {
  const refused = { code: 'MODEL_UNSUPPORTED', hint: expect.stringContaining('fp32') }
  await expect(openEngine({ device: 'wasm', precision: 'bf16' })).rejects.toMatchObject(refused)
  const engine = await openEngine({ device: 'wasm' })
  const session = engine.createSession(defaultCase.spec, defaultCase.grid, { precision: 'bf16' })
  await expect(session).rejects.toMatchObject(refused)
})

const shim = await openCudaShim('bf16')
if ('engine' in shim) describe('bf16 with the cuda engine, compiled for this CPU', () => conforms(shim.engine))
else testMissing('bf16 on cuda-shim', { name: 'cuda-shim', ...shim })

const sets = await cpuInstructionSets('bf16')
if (sets.length === 0) test.skip('bf16: not here: the native addon is not built', () => undefined)
const fp32 = sets.length > 0 ? await createCpuEngine() : await openEngine({ device: 'wasm' })
for (const instructionSet of sets) {
  describe(`bf16 with ${instructionSet}`, async () => {
    conforms(await createCpuEngine({ instructionSet, precision: 'bf16' }))
  })
}

async function stepOf(engine: Engine, item: GoldenCase, options?: SessionOptions) {
  const session = await engine.createSession(item.spec, item.grid, options)
  try {
    return await session.forwardBackward(item.model, item.batch, item.labels, item.loss, { seed: 0 })
  } finally {
    session.dispose()
  }
}

function conforms(engine: Engine): void {
  test.each(golden)('$name: logits are near those of PyTorch', async (item) => {
    const session = await engine.createSession(item.spec, item.grid)
    const { logits } = await session.forward(item.model, item.batch, { logits: true })
    session.dispose()
    expect(relativeMaximum(logits!, item.logits)).toBeLessThan(LOGITS)
  })

  test.each(trainable)(
    '$name: the loss is near that of PyTorch, and the gradients point where its do',
    async (item) => {
      const step = await stepOf(engine, item)
      expect(Math.abs(step.loss / item.step!.loss - 1)).toBeLessThan(LOSS)
      expect(cosine(step.gradients, item.step!.gradients)).toBeGreaterThan(COSINE)
      expect(step.batchStatistics.length).toBe(modelLayout(item.spec).statisticCount)
    },
  )

  test.each(trainable)('$name: any number of threads, and any checkpointing, give the same bits', async (item) => {
    const first = await stepOf(engine, item, { threads: 1, checkpointing: 'none' })
    for (const threads of [1, 2, 3]) expect(await stepOf(engine, item, { threads })).toEqual(first)
    expect(await stepOf(engine, item, { threads: 2, checkpointing: 'layer' })).toEqual(first)
  })

  const slow = engine.device.instructionSet === 'tile-twin' ? ': skipped: tiles in software take minutes for it' : ''
  test.skipIf(slow !== '')(
    `three dozen steps of training end at the loss of fp32, and at the same model every time${slow}`,
    async () => {
      const [found, again, truth] = [await train(engine, 1), await train(engine, 2), await train(fp32, 2)]
      expect(again).toEqual(found)
      expect(found.losses.at(-1)).toBeLessThan(0.7 * found.losses[0]!)
      for (const [round, loss] of truth.losses.entries()) {
        expect(Math.abs(found.losses[round]! / loss - 1), `round ${round + 1}`).toBeLessThan(0.03)
      }
    },
  )
}

function train(engine: Engine, threads: number): Promise<{ losses: number[]; hash: string }> {
  const study = StudySchema.parse({ rounds: 9, model: { dilations: [1, 2, 4, 2, 1] } })
  return trainRounds(engine, study, { depth: 12, height: 11, width: 21 }, threads)
}
