/** Fewest outputs that a training step of so many blocks can hold at once when no block is computed again more than once. */
export const fewestTensors = (blocks: number): number => Math.ceil((Math.sqrt(8 * blocks + 1) - 1) / 2)

/**
 * The blocks whose outputs are kept to the way back when at most so many outputs may be held at once; as few others as can be are
 * computed again, once each, and those at the front, where the first convolution is the cheapest.
 *
 * On the way back the last block comes first. When the i-th kept block's turn comes, i tensors are kept still, and the others, whose
 * blocks are done with, are free for the blocks between it and the kept one before. So the i-th segment may be `tensors - i + 1` blocks
 * long: long segments in front, short ones behind. (After the checkpointing of chains of Griewank and Walther, for one repetition.)
 * @param tensors at least `fewestTensors(blocks)`
 */
export function keptBlocks(blocks: number, tensors: number): number[] {
  const kept: number[] = []
  const most = Math.min(tensors, blocks)
  for (let next = 0, i = 1; i <= most; i++) {
    next += Math.min(tensors - i + 1, blocks - next - (most - i))
    kept.push(next - 1)
  }
  return kept
}
