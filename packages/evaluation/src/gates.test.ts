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

  test.each(['', 'dice', 'x:dice', 'x:dice=', 'dice=0.5', ':dice=1', 'x:=1', 'x:dice=high', 'x:dice=Infinity'])(
    '"%s" is refused as a usage error',
    (text) => expect(code(() => parseGate(text))).toBe('EVAL_GATE_SYNTAX'),
  )

  test('that was read is finite, and any text is read or refused', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-z:=.0-9]*$/)), (text) => {
        try {
          expect(Number.isFinite(parseGate(text).min)).toBe(true)
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
})
