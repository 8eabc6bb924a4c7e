import { expect, test } from 'vitest'
import { createBatchFeed } from './batch-feed.js'

test('batches come in their order, and so many more than were asked for are begun', async () => {
  const begun: number[] = []
  const feed = createBatchFeed([1, 2, 3, 4, 5], 2, async (batch) => {
    begun.push(batch)
    return 10 * batch
  })
  expect(await feed.next()).toBe(10)
  expect(begun).toEqual([1, 2, 3])
  expect(await feed.next()).toBe(20)
  expect(begun).toEqual([1, 2, 3, 4])
  for (const batch of [30, 40, 50]) expect(await feed.next()).toBe(batch)
  expect(begun).toEqual([1, 2, 3, 4, 5])
  await expect(feed.next()).rejects.toThrow(RangeError)
})

test('a batch that fails is told when its turn comes, not before', async () => {
  const feed = createBatchFeed(['a', 'b'], 1, async (batch) => {
    if (batch === 'b') throw new Error('disk')
    return batch
  })
  expect(await feed.next()).toBe('a')
  await expect(feed.next()).rejects.toThrow('disk')
})
