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
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
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
