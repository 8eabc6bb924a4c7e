import { type EventOf, formatBytes } from '@meshfl/core'

/** For example `training steps on 256x256x256 take 1.72 GB of 2.00 GB, 282 MB to spare: layers 1-3, 5 and 6 of 9 are computed again`. */
export function describeMemory(event: EventOf<'memory-planned'>): string {
  const { purpose, shape, batchSize, plannedBytes, limitBytes, blocks, recomputedBlocks } = event
  const what = purpose === 'train' ? 'training steps' : 'forward passes'
  const on = `${batchSize > 1 ? `${batchSize} x ` : ''}${shape.join('x')}`
  const spare = formatBytes(limitBytes - plannedBytes)
  const taken = `${what} on ${on} take ${formatBytes(plannedBytes)} of ${formatBytes(limitBytes)}, ${spare} to spare`
  if (purpose === 'predict') return taken
  if (recomputedBlocks.length === 0) return `${taken}: no layer is computed again`
  const several = recomputedBlocks.length > 1
  return `${taken}: layer${several ? 's' : ''} ${ranges(recomputedBlocks)} of ${blocks} ${several ? 'are' : 'is'} computed again`
}

/** Blocks from 0 as layers from 1: `1-3, 5 and 6`. */
function ranges(blocks: readonly number[]): string {
  const parts: string[] = []
  for (let i = 0; i < blocks.length; ) {
    let last = i
    while (blocks[last + 1] === blocks[last]! + 1) last++
    const layers = blocks.slice(i, last + 1).map((block) => block + 1)
    parts.push(...(layers.length > 2 ? [`${layers[0]}-${layers.at(-1)}`] : layers.map(String)))
    i = last + 1
  }
  return parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`
}
