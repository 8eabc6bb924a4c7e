import { MeshflError } from '@meshfl/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { evaluateCase } from './case-metrics.js'
import { foregroundGate, judgeGate, parseGate } from './gates.js'

const classNames = ['background', 'white matter', 'grey matter']
const measure = (subject: string, truth: number[], prediction: number[]) =>
  evaluateCase({ subject, truth, prediction, classNames, voxelVolumeMl: 1 })
const perfect = measure('a', [0, 1, 2], [0, 1, 2])
const half = measure('b', [0, 1, 1, 2, 2], [0, 1, 0, 2, 0])
const code = (action: () => unknown): string => {
  try {
    action()
  } catch (error) {
    if (error instanceof MeshflError && error.exitCode === 2) return error.code
    throw error
  }
  return 'nothing was thrown'
}

describe('a gate', () => {
  test('is read as class:metric=value, whatever the class is called', () => {
    expect(parseGate('grey matter:dice=0.85')).toEqual({ class: 'grey matter', metric: 'dice', min: 0.85 })
    expect(parseGate('a:b=c:jaccard=.5')).toEqual({ class: 'a:b=c', metric: 'jaccard', min: 0.5 })
  })

  test.each([
    '',
    'dice',
    'x:dice',
    'x:dice=',
    'dice=0.5',
    ':dice=1',
    'x:=1',
    'x:dice=high',
    'x:dice=Infinity',
    'x:dice=0x1',
  ])('"%s" is refused as a usage error', (text) => expect(code(() => parseGate(text))).toBe('EVAL_GATE_SYNTAX'))

  test('that was read is finite, and any text is read or refused', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-z:=.0-9]*$/)), (text) => {
        try {
          const gate = parseGate(text)
          expect('min' in gate && Number.isFinite(gate.min)).toBe(true)
        } catch (error) {
          expect((error as MeshflError).code).toBe('EVAL_GATE_SYNTAX')
        }
      }),
    )
  })

  test('passes at its minimum and fails below it', () => {
    const mean = (1 + half.foregroundDice!) / 2
    expect(judgeGate(foregroundGate(mean), [perfect, half], classNames)).toMatchObject({
      outcome: 'passed',
      value: mean,
    })
    expect(judgeGate(foregroundGate(mean + 1e-9), [perfect, half], classNames).outcome).toBe('failed')
  })

  test('is told with enough decimals to see on which side of its minimum the figure lies', () => {
    const mean = (1 + half.foregroundDice!) / 2
    const reasonOf = (min: number): string => judgeGate(foregroundGate(min), [perfect, half], classNames).reason
    expect(reasonOf(0.83331)).toContain(`is ${mean} over`)
    expect(reasonOf(0.1)).toContain(`is ${mean.toFixed(4)} over`)
  })

  test('fails when no case has a value', () => {
    const bare = measure('c', [0, 1], [0, 1])
    expect(judgeGate(parseGate('grey matter:dice=0'), [bare], classNames)).toMatchObject({
      outcome: 'failed',
      value: null,
    })
    expect(judgeGate(foregroundGate(0), [], classNames).outcome).toBe('failed')
  })

  test('on precision fails when a class that is there was never predicted, however good the other cases are', () => {
    const silent = measure('mute', [0, 1, 2], [0, 1, 0])
    const outcome = judgeGate(parseGate('grey matter:precision=0.5'), [perfect, silent], classNames)
    expect(outcome.outcome).toBe('failed')
    expect(outcome.reason).toContain('mute')
  })

  test('on a class or metric that is not there is a usage error that names the choices', () => {
    expect(code(() => judgeGate(parseGate('gray matter:dice=1'), [perfect], classNames))).toBe('EVAL_GATE_UNKNOWN')
    expect(code(() => judgeGate(parseGate('grey matter:truthMl=1'), [perfect], classNames))).toBe('EVAL_GATE_UNKNOWN')
    expect(code(() => judgeGate(parseGate('foreground:jaccard=1'), [perfect], classNames))).toBe('EVAL_GATE_UNKNOWN')
  })

  test('is read as a maximum where one is asked for', () => {
    expect(parseGate('grey matter:hd95=3', 'max')).toEqual({ class: 'grey matter', metric: 'hd95', max: 3 })
    expect(code(() => parseGate('grey matter:hd95', 'max'))).toBe('EVAL_GATE_SYNTAX')
  })
})

describe('a gate on a surface', () => {
  const surface = { kind: 'voxel', toleranceMm: 1 } as const
  /** Labels along a line, 2 mm from one to the next. */
  const line = (subject: string, truth: number[], prediction: number[]) =>
    evaluateCase({
      ...{ subject, truth, prediction, classNames, voxelVolumeMl: 1 },
      surfaces: { convention: surface, shape: [truth.length, 1, 1], voxelSizeMm: [2, 1, 1] },
    })
  const shifted = line('shifted', [0, 2, 0, 0], [0, 0, 2, 0])
  const judge = (gate: ReturnType<typeof parseGate>, cases = [shifted]) => judgeGate(gate, cases, classNames, surface)

  test('passes at its maximum and fails above it', () => {
    expect(judge(parseGate('grey matter:hd=2', 'max'))).toMatchObject({
      ...{ outcome: 'passed', value: 2, max: 2 },
      reason: 'grey matter hd is 2.0000 over 1 of 1 cases, at most 2 mm',
    })
    expect(judge(parseGate('grey matter:hd95=1.9', 'max'))).toMatchObject({
      outcome: 'failed',
      reason: 'grey matter hd95 is 2.0000 over 1 of 1 cases, above 1.9 mm',
    })
  })

  test('has a minimum where it is NSD', () => {
    expect(judge(parseGate('grey matter:nsd=0')).outcome).toBe('passed')
    expect(judge(parseGate('grey matter:nsd=0.1')).outcome).toBe('failed')
  })

  test('on a distance fails where one of the volumes alone holds the class, and not where neither does', () => {
    const missed = line('missed', [0, 2, 0, 0], [0, 0, 0, 0])
    const invented = line('invented', [0, 0, 0, 0], [0, 2, 0, 0])
    const bare = line('bare', [0, 0, 0, 0], [0, 0, 0, 0])
    const gate = parseGate('grey matter:hd=9', 'max')
    expect(judge(gate, [shifted, bare]).outcome).toBe('passed')
    for (const one of [missed, invented])
      expect(judge(gate, [shifted, one])).toMatchObject({
        outcome: 'failed',
        reason: `grey matter hd is undefined for ${one.subject}, where the truth or the prediction holds the class`,
      })
  })

  test('is a usage error where surfaces are not measured, and says how they are', () => {
    const refusal = (gate: ReturnType<typeof parseGate>, convention?: typeof surface): MeshflError => {
      try {
        judgeGate(gate, [shifted], classNames, convention)
      } catch (error) {
        return error as MeshflError
      }
      throw new Error('the gate was not refused')
    }
    expect(refusal(parseGate('grey matter:nsd=0.9'))).toMatchObject({
      code: 'EVAL_GATE_UNKNOWN',
      hint: 'give --surface, which measures it',
    })
    expect(refusal(parseGate('grey matter:hd=3', 'max'))).toMatchObject({ code: 'EVAL_GATE_UNKNOWN' })
    expect(refusal(parseGate('background:nsd=0.9'), surface).message).toContain('cannot have a minimum')
    expect(refusal(parseGate('grey matter:hd=3'), surface)).toMatchObject({
      message: '"hd" of "grey matter" cannot have a minimum',
      hint: expect.stringContaining('nsd'),
    })
    expect(refusal(parseGate('grey matter:dice=1', 'max'), surface)).toMatchObject({
      message: '"dice" of "grey matter" cannot have a maximum',
      hint: 'choose one of: hd95, assd, hd',
    })
    expect(refusal(parseGate('foreground:dice=1', 'max'), surface).hint).toContain('with --surface')
  })
})
