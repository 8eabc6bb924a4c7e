import type { EventOf } from '@meshfl/core'
import { expect, test } from 'vitest'
import { describeMemory } from './describe-memory.js'

const planned = (change: Partial<EventOf<'memory-planned'>>): string =>
  describeMemory({
    type: 'memory-planned',
    time: '',
    engine: 'cpu',
    purpose: 'train',
    shape: [256, 256, 200],
    batchSize: 1,
    plannedBytes: 1.718e9,
    limitBytes: 2e9,
    blocks: 9,
    recomputedBlocks: [],
    ...change,
  })

test('a plan names its bytes, what is left of what it may take, and the layers that are computed again', () => {
  expect(planned({ recomputedBlocks: [0, 1, 2, 4, 5] })).toBe(
    'training steps on 256x256x200 take 1.72 GB of 2.00 GB, 282 MB to spare: layers 1-3, 5 and 6 of 9 are computed again',
  )
  expect(planned({ recomputedBlocks: [0] })).toMatch(/: layer 1 of 9 is computed again$/)
  expect(planned({ recomputedBlocks: [0, 1] })).toMatch(/: layers 1 and 2 of 9 are computed again$/)
  expect(planned({ batchSize: 3 })).toMatch(/^training steps on 3 x 256x256x200 .*: no layer is computed again$/)
})

test('a plan for prediction has no layers to speak of', () => {
  expect(planned({ purpose: 'predict' })).toBe('forward passes on 256x256x200 take 1.72 GB of 2.00 GB, 282 MB to spare')
})
