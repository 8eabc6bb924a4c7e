import type { Engine } from '@meshfl/engine'
import { createReferenceEngine } from '@meshfl/testkit'
import { expect, test } from 'vitest'
import { checkAnswer } from '../../cli/src/bench/check-answer.js'

const reference = createReferenceEngine()

/** The reference engine, with one of the gradients changed by a part of their size. */
const wrongBy = (part: number): Engine => ({
  ...reference,
  async createSession(...args) {
    const session = await reference.createSession(...args)
    const real = session.forwardBackward.bind(session)
    session.forwardBackward = async (...step) => {
      const result = await real(...step)
      const size = Math.hypot(...result.gradients)
      result.gradients[result.gradients.length >> 1]! += part * size
      return result
    }
    return session
  },
})

test('the answers that meshfl bench holds engines against are those of the reference engine', async () => {
  for (const channels of [1, 5]) expect(await checkAnswer(reference, channels, 'fp32', 1)).toBeUndefined()
})

test('an engine with one wrong gradient is found out', async () => {
  await expect(checkAnswer(wrongBy(0.01), 3, 'fp32', 1)).rejects.toMatchObject({ code: 'BENCH_WRONG_ANSWER' })
  await expect(checkAnswer(wrongBy(Number.NaN), 3, 'fp32', 1)).rejects.toMatchObject({ code: 'BENCH_WRONG_ANSWER' })
})

test('a number of channels without an answer is told', async () => {
  expect(await checkAnswer(reference, 63, 'fp32', 1)).toMatch(/no reference answer for 63 channels/)
})
