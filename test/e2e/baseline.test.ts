import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { type CliResult, cli, temporaryFolder } from './cli.js'
import { trainRun } from './trained-run.js'

let dataset: string
let run: string
/** The report of the run's own model on its validation cases. */
let report: string

const evaluate = (...words: string[]): Promise<CliResult> =>
  cli(['eval', run, '--data', dataset, '--split', 'valid', '--json', ...words])

beforeAll(async () => {
  ;({ dataset, run } = await trainRun())
  report = join(temporaryFolder('first'), 'report')
  expect((await evaluate('--out', report)).code).toBe(0)
}, 120_000)

/** The first report, with a Dice that is higher by so much. */
function baselineThatWasBetter(by: number): string {
  const better = JSON.parse(readFileSync(join(report, 'report.json'), 'utf8'))
  for (const one of better.cases) one.foregroundDice += by
  const file = join(temporaryFolder('better'), 'report.json')
  writeFileSync(file, JSON.stringify(better))
  return file
}

test('a model is compared with an earlier report case by case, and passes where it lost nothing', async () => {
  const out = join(temporaryFolder('same'), 'report')
  const { code, last } = await evaluate('--baseline', report, '--max-drop', '0', '--out', out)
  expect(code).toBe(0)
  expect(last).toMatchObject({ type: 'report', gate: 'passed', baselineDifference: 0 })
  const { baseline, gates } = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8'))
  expect(baseline.differences.map((one: { class: string }) => one.class)).toEqual([
    ...['foreground', 'white matter', 'grey matter'],
  ])
  expect(gates).toHaveLength(3)
  expect(readFileSync(join(out, 'report.html'), 'utf8')).toContain('Against the baseline')
})

test('a model that lost more than it may exits with 4, and says how much', async () => {
  const out = join(temporaryFolder('worse'), 'report')
  const words = ['--baseline', baselineThatWasBetter(0.02), '--out', out]
  const failed = await evaluate(...words, '--max-drop', '0.01')
  expect(failed.code).toBe(4)
  expect(failed.last).toMatchObject({ gate: 'failed', baselineDifference: expect.closeTo(-0.02, 9) })
  expect(readFileSync(join(out, 'junit.xml'), 'utf8')).toContain('<failure')
  const annotated = await cli(['eval', run, '--data', dataset, '--split', 'valid', ...words, '--max-drop', '0.01'], {
    env: { GITHUB_ACTIONS: 'true' },
  })
  expect(annotated.stderr).toMatch(
    /^::error title=gate%3A foreground dice::foreground dice is 0\.\d{4}, 0\.0200 below /m,
  )
  const told = await cli(['eval', run, '--data', dataset, '--split', 'valid', ...words])
  expect(told.code).toBe(0)
  expect(told.stdout).toMatch(/^against the baseline: foreground −0\.0200 from 0\.\d{4} \(p 1\.000, 2 cases\)$/m)
})

test('a gate that passed ends with 3 where the baseline has a case that is not here, and names it', async () => {
  const file = baselineThatWasBetter(0)
  const more = JSON.parse(readFileSync(file, 'utf8'))
  more.cases.push({ ...more.cases[0], subject: 'sub-gone' })
  writeFileSync(file, JSON.stringify(more))
  const out = join(temporaryFolder('missing'), 'report')
  const gated = await evaluate('--baseline', file, '--max-drop', '0.01', '--out', out)
  expect([gated.code, gated.last]).toMatchObject([3, { gate: 'passed', leftOut: ['sub-gone'] }])
  expect(readFileSync(join(out, 'report.md'), 'utf8')).toContain('sub-gone is not scored here')
  expect((await evaluate('--baseline', file, '--out', out)).code).toBe(0)
})

test('a gate does not replace its baseline, which it would pass against when asked again', async () => {
  const file = baselineThatWasBetter(0.02)
  const words = ['--baseline', file, '--out', join(file, '..')]
  const gated = await evaluate(...words, '--max-drop', '0.01')
  expect([gated.code, gated.last]).toMatchObject([
    2,
    { code: 'USAGE_OPTION', message: expect.stringMatching(/would replace the baseline/) },
  ])
  const compared = await evaluate(...words)
  expect([compared.code, compared.last]).toMatchObject([0, { baselineDifference: expect.closeTo(-0.02, 9) }])
})

test('what cannot be compared is refused before anything is scored', async () => {
  const out = join(temporaryFolder('refused'), 'report')
  for (const words of [
    ['--max-drop', '0.1'],
    ['--baseline', ''],
  ])
    expect(await evaluate(...words, '--out', out)).toMatchObject({ code: 2, last: { code: 'USAGE_OPTION' } })
  for (const [baseline, code] of [
    [join(report, 'cases.csv'), 'EVAL_BASELINE_MALFORMED'],
    [join(report, 'nowhere'), 'FILE_NOT_FOUND'],
  ] as const) {
    const { code: exit, events, last } = await evaluate('--baseline', baseline, '--out', out)
    expect([exit, last]).toMatchObject([3, { type: 'error', code }])
    expect(events.some(({ type }) => type === 'progress')).toBe(false)
  }
  const other = await cli([
    'eval',
    run,
    '--data',
    dataset,
    '--split',
    'train',
    '--baseline',
    report,
    '--out',
    out,
    '--json',
  ])
  expect([other.code, other.last]).toMatchObject([3, { type: 'error', code: 'EVAL_BASELINE_MISMATCH' }])
  expect(other.events.some(({ type }) => type === 'progress')).toBe(false)
})
