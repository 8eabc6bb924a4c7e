import { expect, test } from 'vitest'
import { fewestTensors, keptBlocks } from './kept-blocks.js'

/** Most outputs held at once in a step that keeps these: counted block by block, first on the way forth, then on the way back. */
function mostHeld(blocks: number, kept: readonly number[]): number {
  let most = 0
  const held = new Set<number>()
  const hold = (block: number): void => {
    held.add(block)
    most = Math.max(most, held.size)
  }
  for (let block = 0; block < blocks; block++) {
    hold(block)
    if (block > 0 && !kept.includes(block - 1)) held.delete(block - 1)
  }
  for (let block = blocks - 1; block >= 0; block--) {
    if (block > 0 && !held.has(block - 1)) {
      // From the last output at hand on, every one: each is needed once more, and computed once only.
      let from = block - 1
      while (from > 0 && !held.has(from - 1)) from--
      for (let again = from; again < block; again++) hold(again)
    }
    held.delete(block)
  }
  return most
}

/** Every way to keep some of the blocks, the last one always. */
const allWays = (blocks: number): number[][] =>
  Array.from({ length: 2 ** (blocks - 1) }, (_, bits) =>
    Array.from({ length: blocks }, (_, block) => block).filter((block) => block === blocks - 1 || (bits >> block) & 1),
  )

test('no other choice within the same memory computes fewer blocks again', () => {
  for (let blocks = 1; blocks <= 10; blocks++) {
    for (let tensors = fewestTensors(blocks); tensors <= blocks; tensors++) {
      const kept = keptBlocks(blocks, tensors)
      expect(kept.at(-1)).toBe(blocks - 1)
      expect(mostHeld(blocks, kept)).toBeLessThanOrEqual(tensors)
      const best = Math.max(
        ...allWays(blocks)
          .filter((way) => mostHeld(blocks, way) <= tensors)
          .map((way) => way.length),
      )
      expect(kept.length, `${tensors} of ${blocks}`).toBe(best)
    }
  }
})

test('with fewer tensors than the fewest there is no way', () => {
  for (let blocks = 2; blocks <= 12; blocks++) {
    const least = Math.min(...allWays(blocks).map((way) => mostHeld(blocks, way)))
    expect(fewestTensors(blocks)).toBe(Math.max(2, least))
  }
})

test('nine blocks need four tensors: the last two and two more are kept, five blocks computed again', () => {
  expect(fewestTensors(9)).toBe(4)
  expect(keptBlocks(9, 4)).toEqual([3, 6, 7, 8])
  expect(keptBlocks(9, 7)).toEqual([2, 3, 4, 5, 6, 7, 8])
  expect(keptBlocks(9, 9)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
})
