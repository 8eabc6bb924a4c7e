import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { fewAtATime } from './few-at-a-time.js'

test('the next one is let in when one has arrived or ended, and no sooner', async () => {
  const begun: number[] = []
  const arrive: (() => void)[] = []
  const end: (() => void)[] = []
  const all = fewAtATime([0, 1, 2, 3, 4], 2, (one, arrived) => {
    begun.push(one)
    arrive[one] = arrived
    return new Promise((resolve) => {
      end[one] = resolve
    })
  })
  await turn()
  expect(begun).toEqual([0, 1])
  arrive[1]!()
  arrive[1]!()
  await turn()
  expect(begun).toEqual([0, 1, 2])
  end[0]!()
  await turn()
  expect(begun).toEqual([0, 1, 2, 3])
  end[1]!() // it had arrived: its place was given away
  await turn()
  expect(begun).toEqual([0, 1, 2, 3])
  end[2]!()
  await turn()
  for (const one of [3, 4]) end[one]!()
  await all
  expect(begun).toEqual([0, 1, 2, 3, 4])
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
