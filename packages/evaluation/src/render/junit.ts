import type { ComparedPair } from '../baseline.js'
import { worstFirst } from '../case-metrics.js'
import { type BoundOutcome, type DropOutcome, FOREGROUND, type GateOutcome, gateValue, isWithin } from '../gates.js'
import { classMetricsOf } from '../metrics/registry.js'
import { isFault, type Report } from '../report.js'
import { escapeMarkup } from './escape.js'

/** Why a distance has no value. Of a ratio it is 0/0. */
const NO_SURFACE = 'no value: the class is not in both volumes'

interface TestCase {
  className: string
  name: string
  value: number | null
  failure?: string
  /** Why it could not be measured, though it was to be. */
  error?: string
  /** Why it has no value. */
  skipped?: string
}

/**
 * junit.xml: a suite for each gate and one that lists every measurement, with a test for each subject, class and metric. The
 * subjects beyond a gate's bound fail only when the gate on their mean does, so that a CI's count of failures and the exit
 * code never disagree. A case that was left out is an error where it makes the exit code 3, and else skipped.
 */
export function renderJunit(report: Report): string {
  const cases = worstFirst(report.cases)
  const before = new Map(report.baseline?.cases.map(({ subject, pairs }) => [subject, pairs]))
  const suites = report.gates.map((gate) => {
    const bound = `${gate.metric} ${boundText(gate)}`
    return suite(`gate: ${gate.class} ${bound}`, report.created, [
      {
        className: gate.class,
        name: `mean over cases: ${bound}`,
        value: gate.value,
        ...(gate.outcome === 'failed' ? { failure: gate.reason } : {}),
      },
      ...cases.map((one) => {
        if (!('maxDrop' in gate)) return gateCase(gate, one.subject, gateValue(gate, one))
        const row = report.baseline!.differences.findIndex((difference) => difference.class === gate.class)
        return dropCase(gate, one.subject, before.get(one.subject)?.[row])
      }),
      ...leftOutCases(report, 'maxDrop' in gate ? dropName(gate) : gateName(gate), 'maxDrop' in gate),
    ])
  })
  const measurements = cases.flatMap((one): TestCase[] => [
    { className: one.subject, name: `${FOREGROUND}: dice`, value: one.foregroundDice },
    ...report.classes.flatMap(({ name }, index) =>
      classMetricsOf(report.conventions.surface, index).map(({ id, unit }) => ({
        className: one.subject,
        name: `${name}: ${id}`,
        value: one.perClass[name]?.[id] ?? null,
        ...(unit === 'mm' ? { skipped: NO_SURFACE } : {}),
      })),
    ),
  ])
  measurements.push(...leftOutCases(report, `${FOREGROUND}: dice`, false))
  suites.push(suite('measurements', report.created, measurements))
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="${escapeMarkup(report.tool)}">\n${suites.join('')}</testsuites>\n`
}

function boundText(gate: GateOutcome): string {
  if ('maxDrop' in gate) return `>= baseline - ${gate.maxDrop}`
  return 'min' in gate ? `>= ${gate.min}` : `<= ${gate.max}`
}

/** @param ofBaseline whether a case that only the baseline has belongs among them */
function leftOutCases(report: Report, name: string, ofBaseline: boolean): TestCase[] {
  const leftOut = (report.leftOut ?? []).filter(({ why }) => ofBaseline || why !== 'only-in-baseline')
  return leftOut.map((one) => ({
    ...{ className: one.subject, name, value: null },
    ...(isFault(one, report) ? { error: one.reason } : { skipped: one.reason }),
  }))
}

const gateName = (gate: BoundOutcome): string => `${gate.class}: ${gate.metric}`
const dropName = (gate: DropOutcome): string => `${gate.class}: ${gate.metric} less the baseline's`

function gateCase(gate: BoundOutcome, subject: string, value: number | null): TestCase {
  const beyond = gate.outcome === 'failed' && (value === null || !isWithin(value, gate))
  const name = gateName(gate)
  const bound = 'min' in gate ? `below ${gate.min}` : `above ${gate.max}`
  return {
    className: subject,
    name,
    value,
    ...('max' in gate ? { skipped: NO_SURFACE } : {}),
    ...(beyond ? { failure: value === null ? `${name} has no value` : `${name} is ${value}, ${bound}` } : {}),
  }
}

/** A case that was not compared is skipped: there is nothing it could be below. */
function dropCase(gate: DropOutcome, subject: string, pair: ComparedPair | undefined): TestCase {
  const name = dropName(gate)
  if (!pair) {
    const skipped = pair === null ? 'the class is in none of its volumes' : 'the baseline does not have the case'
    return { className: subject, name, value: null, skipped }
  }
  const difference = pair.here - pair.baseline
  const below = gate.outcome === 'failed' && difference < -gate.maxDrop
  const failure = `${gate.class}: ${gate.metric} is ${pair.here}, and was ${pair.baseline}`
  return { className: subject, name, value: difference, ...(below ? { failure } : {}) }
}

function suite(name: string, timestamp: string, tests: readonly TestCase[]): string {
  const failures = tests.filter((test) => test.failure !== undefined).length
  const errors = tests.filter((test) => test.error !== undefined).length
  const unmeasured = tests.filter((test) => test.failure === undefined && test.value === null).length
  const skipped = unmeasured - errors
  const counts = `tests="${tests.length}" failures="${failures}" errors="${errors}" skipped="${skipped}" time="0"`
  return `  <testsuite name="${escapeMarkup(name)}" ${counts} timestamp="${escapeMarkup(timestamp)}">\n${tests.map(testCase).join('')}  </testsuite>\n`
}

function testCase(test: TestCase): string {
  const open = `    <testcase classname="${escapeMarkup(test.className)}" name="${escapeMarkup(test.name)}" time="0"`
  if (test.failure !== undefined) return `${open}><failure message="${escapeMarkup(test.failure)}"/></testcase>\n`
  if (test.error !== undefined) return `${open}><error message="${escapeMarkup(test.error)}"/></testcase>\n`
  if (test.value === null)
    return `${open}><skipped message="${escapeMarkup(test.skipped ?? 'no value: 0/0')}"/></testcase>\n`
  return `${open}><system-out>${test.value}</system-out></testcase>\n`
}
