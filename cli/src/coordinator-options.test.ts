import type { MeshflEvent, SiteDescription } from '@meshfl/core'
import { expect, test } from 'vitest'
import { approval } from './coordinator-options.js'
import type { Output } from './output.js'

const description: SiteDescription = {
  ...{
    site: 'site-1',
    trainCases: 20,
    validCases: 4,
    classes: 2,
    classNames: ['background', 'brain'],
    labelMap: 'brain',
  },
  ...{ voxelSizeMm: 1, conform: { mode: 'freesurfer', shape: [256, 256, 256] } },
  ...{ engine: 'wasm', instructionSet: 'simd128', precision: 'fp32' },
}

/** What the operator reads when a site asks to take part. */
function shown(asks: boolean, change: Partial<SiteDescription> = {}): string {
  const read: string[] = []
  const output: Output = {
    events: (event: MeshflEvent) => event.type === 'log' && read.push(event.message),
    asks,
    ask: async (question) => {
      read.push(question)
      return true
    },
    result: () => undefined,
    say: () => undefined,
    stop: async () => undefined,
  }
  const request = { site: 'site-1', fingerprint: 'abcd-1234', signal: new AbortController().signal }
  approval('./run', { bind: 'tcp://*:0' }, output)({ ...request, description: { ...description, ...change } })
  return read.join()
}

test('the question whether to admit a site names what it will weigh', () => {
  expect(shown(true)).toBe('admit site-1, 20 training and 4 validation cases, key abcd-1234?')
  expect(shown(false)).toBe(
    'site-1 (20 training and 4 validation cases, key abcd-1234) asks to take part: meshfl sites approve ./run site-1',
  )
})

test('of scans that are not conformed it names their shape: with a step an exchange that is a weight too', () => {
  expect(shown(true, { conform: { mode: 'none', shape: [300, 256, 180] } })).toBe(
    'admit site-1, 20 training and 4 validation cases of 300 x 256 x 180 voxels, key abcd-1234?',
  )
})
