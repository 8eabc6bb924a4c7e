import { elementCount, type MeshflError } from '@meshfl/core'
import { expect, test } from 'vitest'
import { partsOfState } from './parts-of-state.js'
import type { StateDict } from './state-dict.js'

type Entry = [name: string, ...shape: number[]]

/** A state dict whose n-th tensor is filled with n. */
const stateOf = (entries: readonly Entry[], inModuleOrder = true): StateDict => ({
  tensors: entries.map(([name, ...shape], n) => ({
    name,
    shape,
    values: new Float32Array(elementCount(shape)).fill(n),
  })),
  inModuleOrder,
  metadata: {},
})
const refusal = (entries: readonly Entry[], inModuleOrder = true): string => {
  try {
    partsOfState(stateOf(entries, inModuleOrder), 'a.pth')
    return 'none'
  } catch (error) {
    expect(error).toMatchObject({ code: 'IMPORT_NOT_MESHNET' })
    return (error as MeshflError).message
  }
}
const FIRST: Entry[] = [
  ['conv1.weight', 2, 1, 3, 3, 3],
  ['conv1.bias', 2],
]
const NORM: Entry[] = ['weight', 'bias', 'running_mean', 'running_var'].map((part) => [`bn1.${part}`, 2])
const HEAD: Entry[] = [
  ['head.weight', 3, 2, 1, 1, 1],
  ['head.bias', 3],
]

test('modules are found by their order and shapes, whatever their names', () => {
  const parts = partsOfState(stateOf([...FIRST, ...NORM, ...HEAD]), 'a.pth')
  expect(parts).toMatchObject({ channels: 2, classes: 3, normalization: 'batch' })
  expect(parts.blocks).toHaveLength(1)
  expect(parts.blocks[0]!.normalization!.variance).toEqual(new Float32Array(2).fill(5))
  expect(partsOfState(stateOf([...FIRST, ...HEAD]), 'a.pth')).not.toHaveProperty('normalization')
})

test('numbers in the names tell the order where a file is sorted by name; without numbers it is refused', () => {
  const numbered: Entry[] = Array.from({ length: 12 }, (_, i) => [`model.${i}.weight`, 1, 1, 3, 3, 3])
  const head: Entry[] = [['model.12.weight', 2, 1, 1, 1, 1]]
  const sorted = [...numbered, ...head].sort(([a], [b]) => (a < b ? -1 : 1))
  const { blocks } = partsOfState(stateOf(sorted, false), 'a.safetensors')
  expect(blocks.map(({ weight }) => sorted[weight[0]!]![0])).toEqual(numbered.map(([name]) => name))
  expect(refusal([...FIRST, ...HEAD], false)).toContain('do not tell their order')
})

test('what is no MeshNet is refused in words', () => {
  const cases: [Entry[], string][] = [
    [[], 'no 1x1x1 convolution'],
    [[...FIRST, ...NORM], 'no 1x1x1 convolution'],
    [HEAD, 'takes 2 channels, and 1 come in'],
    [[...FIRST, ...HEAD, ['more.weight', 3, 3, 3, 3, 3]], 'comes after the 1x1x1'],
    [[['a.weight', 2, 1, 5, 5, 5], ...HEAD], 'a kernel of 5x5x5'],
    [[...FIRST, ['b.weight', 4, 2, 3, 3, 3], ...HEAD], 'gives 4 channels, not 2'],
    [[...FIRST, ...NORM, ['b.weight', 2, 2, 3, 3, 3], ...HEAD], '1 of its 2 convolutions have a BatchNorm'],
    [[...FIRST, ['b.weight', 2, 2, 3, 3, 3], ...HEAD], '1 of its 2 convolutions have a bias'],
    [[...FIRST, ['gn.weight', 2], ['gn.bias', 2], ...HEAD], 'gn has no running_mean'],
    [[...FIRST, ...NORM, ...NORM.map(([name]): Entry => [`x${name}`, 2]), ...HEAD], 'no BatchNorm of one'],
    [[['a.weight', 2, 1, 3, 3, 3], ['a.bias', 3], ...HEAD], 'a.bias is [3], not [2]'],
    [[...FIRST, ...FIRST, ...HEAD], 'two tensors of the name conv1.weight'],
    [[['a.weight_g', 2, 1, 3, 3, 3], ...HEAD], 'is no convolution'],
    [[[`${'a.'.repeat(100)}weight`, 2, 1, 3, 3, 3], ...HEAD], 'too deep'],
    [[[`${'a.'.repeat(100_000)}weight`, 2, 1, 3, 3, 3], ...HEAD], 'a name of 200006 letters'],
  ]
  for (const [entries, words] of cases) expect(refusal(entries)).toContain(words)
})
