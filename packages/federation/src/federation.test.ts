import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { modelSha256 } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { verifyLedger } from './ledger.js'
import { Loopback } from './loopback.fixture.js'

let loopback: Loopback
afterEach(() => loopback.close())

test('two sites and a coordinator finish all rounds and hold the same model', async () => {
  loopback = new Loopback(2)
  const coordinator = await loopback.start()
  const a = loopback.join('site-1')
  const b = loopback.join('site-2')
  const [result, ...sites] = await Promise.all([coordinator.finished, a.finished, b.finished])
  expect(result.rounds).toBe(3)
  expect(result.parametersSha256).toBe(modelSha256(result.model))
  for (const site of sites) {
    expect(site.parametersSha256).toBe(result.parametersSha256)
    expect(site.best).toEqual(result.best)
  }
  const lines = readFileSync(join(loopback.run, 'ledger.jsonl'), 'utf8').trim().split('\n')
  expect(verifyLedger(lines, coordinator.signingPublic)).toEqual({ ok: true, rounds: 3 })
}, 10_000)
