import { StudySchema } from '@meshfl/core'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { keysOf, type Schema } from './study-keys.js'
import { studyTemplate } from './study-template.js'

test('every key of a study is in the template, with a comment above it', () => {
  const lines = studyTemplate().split('\n')
  let at = 0
  for (const path of keysOf(StudySchema as Schema)) {
    const names = path.split('.')
    const line = new RegExp(`^${'  '.repeat(names.length - 1)}(# )?${names.at(-1)}:`)
    const found = lines.findIndex((text, index) => index > at && line.test(text))
    expect(found, path).toBeGreaterThan(at)
    expect(lines[found - 1], path).toMatch(/^\s*# \S.*/)
    at = found
  }
})

test('the template is a study of the defaults', () => {
  expect(StudySchema.parse(parse(studyTemplate()))).toEqual(StudySchema.parse({}))
})

test('each key that is commented out is valid where its comment mark is taken away', () => {
  const known = [
    'fold',
    'targetDice',
    'voxelSizeMm',
    'labelMap',
    'minSites',
    'sampleCount',
    'sampleFraction',
    'roundDeadlineSeconds',
  ]
  for (const key of known) {
    const text = studyTemplate().replace(new RegExp(`^( *)# (${key}: .*)$`, 'm'), '$1$2')
    const study = StudySchema.parse(parse(text))
    expect(JSON.stringify(study)).toContain(`"${key}":`)
  }
  for (const section of ['earlyStop', 'conform']) {
    const text = studyTemplate().replace(
      new RegExp(`^# (${section}:)$\\n((?: {2}# .*\\n)+)`, 'm'),
      (_, head: string, body: string) => `${head}\n${body.replaceAll(/^ {2}# (\w+: .*)$/gm, '  $1')}`,
    )
    expect(JSON.stringify(StudySchema.parse(parse(text)))).toContain(`"${section}":`)
  }
})
