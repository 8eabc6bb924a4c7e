import { expect, test } from 'vitest'
import { describeResult } from './describe-result.js'

test('a hash is told with the round that it is of, where reports and exports take another model', () => {
  const result = { rounds: 60, parametersSha256: 'abc' }
  const [, text] = describeResult({ ...result, best: { round: 43, foregroundDice: 0.5 } }, './run')
  expect(text).toContain('\nof round 60, which is not the best: model sha256 abc\n')
  for (const best of [{ round: 60, foregroundDice: 0.5 }, null])
    expect(describeResult({ ...result, best }, './run')[1]).toContain('\nmodel sha256 abc\n')
})
