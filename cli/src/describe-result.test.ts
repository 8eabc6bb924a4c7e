import { expect, test } from 'vitest'
import { describeResult } from './describe-result.js'

test('a hash is told with the round that it is of, where reports and exports take another model', () => {
  const result = { rounds: 60, parametersSha256: 'abc' }
  const [, text] = describeResult({ ...result, best: { round: 43, foregroundDice: 0.5 } }, './run')
  expect(text).toContain('model of round 60: sha256 abc; the best one is best.safetensors')
  for (const best of [{ round: 60, foregroundDice: 0.5 }, null])
    expect(describeResult({ ...result, best }, './run')[1]).toContain('\nmodel sha256 abc\n')
})
