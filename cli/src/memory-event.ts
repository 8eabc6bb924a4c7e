import { type EventOf, type MeshNetSpec, now } from '@meshfl/core'
import type { Engine, Session } from '@meshfl/engine'

/** What a session's buffers will take, for the log. */
export function memoryEvent(
  engine: Engine,
  { grid, memory }: Session,
  spec: MeshNetSpec,
  purpose: 'train' | 'predict',
  batchSize = 1,
): EventOf<'memory-planned'> {
  const { plannedBytes, limitBytes, recomputedBlocks } = memory
  return {
    type: 'memory-planned',
    time: now(),
    engine: engine.name,
    purpose,
    shape: [grid.width, grid.height, grid.depth],
    batchSize,
    plannedBytes,
    limitBytes,
    blocks: spec.dilations.length,
    recomputedBlocks,
  }
}
