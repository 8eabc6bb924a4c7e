import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { fewAtATime } from './few-at-a-time.js'

test('never more are on their way than may be', async () => {
  let onTheirWay = 0
  let most = 0
  let ran = 0
  await fewAtATime(
    Array.from({ length: 20 }, (_, i) => i),
    3,
    async (i, arrived) => {
      most = Math.max(most, ++onTheirWay)
      await turn()
      onTheirWay--
      if (i % 2 === 0) arrived() // the others end before they have said so
      await turn()
      ran++
    },
  )
  expect({ ran, most }).toEqual({ ran: 20, most: 3 })
})

test('of several failures the first is told, and none is left that nobody hears of', async () => {
  const unheard: unknown[] = []
  const hear = (reason: unknown): void => void unheard.push(reason)
  process.on('unhandledRejection', hear)
  try {
    const run = async (name: string, arrived: () => void): Promise<void> => {
      arrived()
      await turn()
      throw new Error(name)
    }
    await expect(fewAtATime(['first', 'second', 'third'], 1, run)).rejects.toThrow('first')
    for (let i = 0; i < 10; i++) await turn()
    expect(unheard).toEqual([])
  } finally {
    process.off('unhandledRejection', hear)
  }
})
