import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeSafetensors, MeshflError, MeshNetSpecSchema, StudySchema } from '@meshfl/core'
import { initializeModel, modelLayout } from '@meshfl/engine'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Checkpoint, commitCheckpoint, decodeCheckpoint, encodeCheckpoint } from './checkpoint.js'

const spec = MeshNetSpecSchema.parse({ channels: 2, dilations: [1] })
const layout = modelLayout(spec)

const anyCheckpoint: fc.Arbitrary<Checkpoint> = fc
  .record({
    round: fc.integer({ min: 1, max: 1e6 }),
    state: fc.uint8Array({ maxLength: 64 }),
    seeds: fc.tuple(fc.nat(), fc.nat()),
    score: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
    engine: fc.string(),
  })
  .map(({ round, state, seeds, score, engine }) => ({
    progress: {
      round,
      studySha256: 'abc',
      engine,
      instructionSet: 'float64',
      precision: 'fp32',
      best: { round, foregroundDice: score },
      rise: score === null ? null : { round, foregroundDice: score },
      metrics: { trainLoss: 1, trainDice: null, validLoss: score, validDice: null, seconds: 0.5 },
    },
    model: initializeModel(spec, seeds[0]),
    state,
    bestModel: initializeModel(spec, seeds[1]),
  }))

test('a checkpoint survives its bytes', () => {
  fc.assert(
    fc.property(anyCheckpoint, (checkpoint) => {
      const bytes = encodeCheckpoint(layout, checkpoint)
      const decoded = decodeCheckpoint(layout, bytes)
      expect(encodeCheckpoint(layout, decoded)).toEqual(bytes)
      expect(decoded.progress.best.round).toBe(checkpoint.progress.best.round)
      expect(decoded.state).toEqual(Uint8Array.from(checkpoint.state))
    }),
    { numRuns: 50 },
  )
})

test('bytes that were changed or cut are a checkpoint or an error with a code, never a crash', () => {
  fc.assert(
    fc.property(anyCheckpoint, fc.nat(), fc.nat({ max: 255 }), fc.boolean(), (checkpoint, at, value, cut) => {
      const bytes = encodeCheckpoint(layout, checkpoint)
      bytes[at % bytes.length] = value
      try {
        decodeCheckpoint(layout, cut ? bytes.subarray(0, at % bytes.length) : bytes)
      } catch (error) {
        expect(error).toBeInstanceOf(MeshflError)
      }
    }),
    { numRuns: 200 },
  )
})

test('a checkpoint says of its model what the file of the latest model says', async () => {
  const run = mkdtempSync(join(tmpdir(), 'meshfl-checkpoint-'))
  const conform = { mode: 'niivue', shape: [16, 16, 16] }
  const study = StudySchema.parse({ model: spec, conform, voxelSizeMm: 4, labelMap: 'mine' })
  await commitCheckpoint(run, study, layout, fc.sample(anyCheckpoint, 1)[0]!)
  const saidBy = (name: string) => decodeSafetensors(readFileSync(join(run, name)), name).metadata
  const latest = saidBy('latest.safetensors')
  expect(Object.keys(latest)).toContain('meshfl.data')
  expect(saidBy('checkpoint.safetensors')).toMatchObject(latest)
})

test('a model file is no checkpoint', () => {
  const checkpoint = fc.sample(anyCheckpoint, { numRuns: 1, seed: 1 })[0]!
  const text = Buffer.from(encodeCheckpoint(layout, checkpoint)).toString('latin1')
  const renamed = Buffer.from(text.replace('meshfl-checkpoint/1', 'meshfl-checkpoint/9'), 'latin1')
  expect(() => decodeCheckpoint(layout, renamed)).toThrow(expect.objectContaining({ code: 'CHECKPOINT_INVALID' }))
})
