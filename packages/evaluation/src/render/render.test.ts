import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { buildReport, type ReportInput } from '../build-report.js'
import { evaluateCase } from '../case-metrics.js'
import { foregroundGate, parseGate } from '../gates.js'
import { BaselineSchema } from '../read-baseline.js'
import { sliceImages } from '../slices/slice-images.js'
import { renderCsv } from './csv.js'
import { escapeMarkdown, escapeMarkup } from './escape.js'
import { githubAnnotations } from './github.js'
import { renderHtml } from './html/page.js'
import { renderJunit } from './junit.js'
import { renderMarkdown } from './markdown.js'
import { renderNnunetSummary } from './nnunet.js'

const NASTY = '<script>alert("x")</script>&\'`|[a](javascript:b)\u0000\u0007\ud800=1]]>'
const IDENTITY = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]

function reportOf(name: string, change: Partial<ReportInput> = {}) {
  const classNames = ['background', name, `${name} 2`]
  const measure = (subject: string, prediction: number[]) =>
    evaluateCase({ subject, site: name, truth: [0, 0, 1, 1, 2, 2], prediction, classNames, voxelVolumeMl: 0.001 })
  return buildReport({
    tool: name,
    created: '2026-01-02T03:04:05.000Z',
    engine: { name, device: name },
    model: { name, sha256: name },
    dataset: { name },
    split: 'test',
    evaluations: 2,
    classes: classNames.map((one, value) => ({ name: one, value })),
    cases: [measure(name, [0, 0, 1, 1, 2, 2]), measure(`${name} poor`, [0, 0, 0, 1, 0, 2])],
    gates: [foregroundGate(0.99), parseGate(`${name}:precision=0.5`)],
    comparisons: [{ name, dice: { perClass: { [name]: 0.2 }, foregroundDice: 0.3 }, note: name }],
    curves: [{ round: 1, trainLoss: 1, trainForegroundDice: 0.1, validLoss: 0.9, validForegroundDice: null }],
    notes: [name],
    ...change,
  })
}
const slicesOf = (subject: string) => {
  const truth = Uint8Array.from([0, 1, 2, 0, 1, 2, 0, 0])
  return sliceImages({ subject, image: truth, truth, prediction: truth, shape: [2, 2, 2], affine: IDENTITY })
}

/** Elements that are opened and closed in order, every attribute quoted: enough to find what escapes an escape. */
function checkMarkup(text: string, isVoid: (tag: string) => boolean): string[] {
  const open: string[] = []
  const tags: string[] = []
  const tag = /<(\/?)([a-zA-Z][a-zA-Z0-9-]*)((?:\s+[a-zA-Z:-]+(?:="[^"<]*")?)*)\s*(\/?)>/y
  for (let at = text.indexOf('<'); at >= 0; at = text.indexOf('<', at)) {
    tag.lastIndex = at
    const match = tag.exec(text)
    if (!match) throw new Error(`not a tag: ${text.slice(at, at + 60)}`)
    const [whole, closing, name] = match
    tags.push(name!)
    if (closing) expect(open.pop()).toBe(name)
    else if (!match[4] && !isVoid(name!)) open.push(name!)
    at += whole.length
  }
  expect(open).toEqual([])
  return tags
}

describe('report.html', () => {
  const page = renderHtml(reportOf(NASTY), [slicesOf(NASTY)])
  const body = page.replace('<!doctype html>', '').replace(/<style>[^<]*<\/style>/, '')

  test('holds hostile names as text only', () => {
    const tags = checkMarkup(body, (tag) => ['meta', 'br'].includes(tag))
    expect(tags).not.toContain('script')
    expect(page).not.toContain('<script')
    expect(page).toContain('&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;')
  })

  test('needs no network and runs no script, and says so to the browser', () => {
    expect(page).toContain(`content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"`)
    expect(body.match(/\s(?:src|href)="(?!#|data:image\/png;base64,)/g)).toBeNull()
    expect(body).not.toMatch(/url\(|@import|\son[a-z]+=/)
  })

  test('names every picture and gives every table headers', () => {
    for (const svg of body.match(/<svg[^>]*>/g) ?? []) expect(svg).toMatch(/aria-label="[^"]+"|aria-hidden="true"/)
    expect(body.match(/<table>/g)?.length).toBe(body.match(/<thead>/g)?.length)
    for (const head of body.match(/<th[\s>][^>]*/g) ?? []) expect(head).toContain('scope=')
  })

  test('marks a second evaluation on the test split, and nothing of the kind for the first', () => {
    expect(page).toContain('This is evaluation no. 2 of this model on the test split')
    expect(renderHtml(reportOf('x', { evaluations: 1 }), [])).not.toContain('This is evaluation no.')
  })

  test('never gives the mean with background without its name', () => {
    expect(page.match(/three-class mean<br>\(with background\)|three-class mean \(with background\)/g)?.length).toBe(3)
  })

  test('can be drawn without cases, curves, gates, or any value', () => {
    const bare = reportOf('x', {
      cases: [],
      curves: [],
      gates: [],
      comparisons: [],
      engine: null,
      model: null,
      split: null,
    })
    expect(renderHtml(bare, [])).toContain('no case scored')
    const classNames = ['background', 'x', 'x 2']
    const empty = evaluateCase({ subject: 's', truth: [0], prediction: [0], classNames, voxelVolumeMl: 1 })
    expect(renderHtml(reportOf('x', { cases: [empty], gates: [] }), [])).not.toMatch(/NaN|undefined|Infinity/)
  })

  test('says that it is no medical device', () => expect(page).toContain('Not a medical device'))
})

describe('report.md', () => {
  test('holds hostile names as text only', () => {
    const text = renderMarkdown(reportOf(NASTY))
    expect(text).not.toMatch(/<script|\]\(/)
    expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u)
    const rows = text.split('\n').filter((line) => line.startsWith('|'))
    expect(rows.every((line) => line.endsWith('|'))).toBe(true)
  })

  test('stays below 1 MiB with any number of cases, and says how many it left to cases.csv', () => {
    const [one] = reportOf('x').cases
    const cases = Array.from({ length: 20_000 }, (_, i) => ({ ...one!, subject: `subject ${i} ${'é'.repeat(100)}` }))
    const text = renderMarkdown(reportOf('x', { cases }))
    expect(Buffer.byteLength(text)).toBeLessThan(1024 * 1024)
    expect(Buffer.byteLength(text)).toBeGreaterThan(900 * 1024)
    expect(text).toMatch(/\d+ more cases in cases\.csv\./)
  })

  test('puts the worst case first', () => {
    const text = renderMarkdown(reportOf('x'))
    expect(text.indexOf('x poor')).toBeLessThan(text.lastIndexOf('| x |'))
  })
})

describe('junit.xml', () => {
  test('is well-formed with hostile names', () => {
    const text = renderJunit(reportOf(NASTY))
    checkMarkup(text.slice(text.indexOf('\n')), () => false)
    expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u)
  })

  test('has a suite for each gate, in which the subjects below a failed one fail', () => {
    const text = renderJunit(reportOf('x'))
    expect(text.match(/<testsuite name="gate: /g)?.length).toBe(2)
    expect(text).toContain(
      '<testsuite name="gate: foreground dice &gt;= 0.99" tests="3" failures="2" errors="0" skipped="0"',
    )
    expect(text).toContain('<testsuite name="gate: x precision &gt;= 0.5" tests="3" failures="0"')
  })

  test('has the cases that were left out: an error where they make the exit code 3, and else skipped', () => {
    const leftOut = [
      { subject: 'broken', why: 'failed', reason: 'its grid is <another>' },
      { subject: 'forgotten', why: 'no-prediction', reason: 'it has a truth and no prediction' },
      { subject: 'more', why: 'no-truth', reason: 'it has a prediction and no truth' },
      { subject: 'gone', why: 'only-in-baseline', reason: 'the baseline has it' },
    ] as const
    const gated = renderJunit(reportOf('x', { gates: [foregroundGate(0.1)], leftOut }))
    checkMarkup(gated.slice(gated.indexOf('\n')), () => false)
    expect(gated).toContain('dice &gt;= 0.1" tests="6" failures="0" errors="2" skipped="1"')
    expect(gated).toContain(
      '<testcase classname="broken" name="foreground: dice" time="0"><error message="its grid is &lt;another&gt;"/>',
    )
    expect(gated).toMatch(/<testsuite name="measurements" tests="\d+" failures="0" errors="2" skipped="1"/)
    expect(gated).not.toContain('gone')
    const alone = renderJunit(reportOf('x', { gates: [], leftOut }))
    expect(alone).toMatch(/<testsuite name="measurements" tests="\d+" failures="0" errors="1" skipped="2"/)
    const baseline = BaselineSchema.parse(reportOf('x'))
    const dropped = renderJunit(reportOf('x', { gates: [], baseline, maxDrop: 0.1, leftOut }))
    expect(dropped).toContain(
      '<testcase classname="gone" name="x: dice less the baseline&#39;s" time="0"><error message="the baseline has it"/>',
    )
  })

  test('counts no failure when no gate failed', () => {
    expect(renderJunit(reportOf('x', { gates: [foregroundGate(0.1)] }))).not.toContain('<failure')
  })
})

describe('a comparison with a baseline', () => {
  const compared = (name: string, maxDrop: number) => {
    const better = reportOf(name, { cases: [reportOf(name).cases[0]!] })
    const lost = { ...reportOf(name).cases[1]!, subject: name }
    return reportOf(name, { cases: [lost], gates: [], baseline: BaselineSchema.parse(better), maxDrop })
  }

  test('is in the page, the summary and the gates, with hostile names as text only', () => {
    const report = compared(NASTY, 0.01)
    const page = renderHtml(report, [])
    const body = page.replace('<!doctype html>', '').replace(/<style>[^<]*<\/style>/, '')
    expect(checkMarkup(body, (tag) => ['meta', 'br'].includes(tag))).not.toContain('script')
    expect(body).toContain('Against the baseline')
    expect(body).toContain('Cases that lost most')
    const rows = renderMarkdown(report)
      .split('\n')
      .filter((line) => line.startsWith('|'))
    expect(rows.every((line) => line.endsWith('|'))).toBe(true)
    const junit = renderJunit(report)
    checkMarkup(junit.slice(junit.indexOf('\n')), () => false)
  })

  test('has in the summary what is here, what was, and the difference', () => {
    const text = renderMarkdown(compared('x', 0.01))
    expect(text).toMatch(/\| x \| 0\.667 \| 1\.000 \| −0\.3333 \| – \| 0 \| 1 \| 1\.000 \|/)
    expect(text).toContain('1 case in both')
  })

  test('gives JUnit a suite for each gate, in which a case fails that lost more than it may', () => {
    const failed = renderJunit(compared('x', 0.01))
    expect(failed).toContain(
      '<testsuite name="gate: x dice &gt;= baseline - 0.01" tests="2" failures="2" errors="0" skipped="0"',
    )
    expect(renderJunit(compared('x', 0.5))).not.toContain('<failure')
  })

  test('shows no table of losses where nothing was lost', () => {
    const report = reportOf('x', { baseline: BaselineSchema.parse(reportOf('x')) })
    expect(renderHtml(report, [])).not.toContain('Cases that lost most')
  })
})

describe('annotations for GitHub Actions', () => {
  test('are one line each for gates that failed and for notes, whatever their words', () => {
    const name = 'a:b,c%\r\n::error::d'
    const lines = githubAnnotations(reportOf(name))
    expect(lines).toHaveLength(3) // the foreground's gate, the second look at the test split, the note
    for (const line of lines) expect(line).toMatch(/^::(error|warning) title=[^:,\r\n]*::[^\r\n]*$/)
    expect(lines[0]).toMatch(
      /^::error title=gate%3A foreground dice::foreground dice is 0\.\d{4} over 2 of 2 cases, below 0\.99$/,
    )
    expect(lines[2]).toBe('::warning title=meshfl eval::a:b,c%25%0D%0A::error::d')
  })

  test('say nothing of gates that passed', () => {
    const report = reportOf('x', { gates: [foregroundGate(0.1)], evaluations: 1, notes: [] })
    expect(githubAnnotations(report)).toEqual([])
  })
})

describe('cases.csv', () => {
  test('has a row for each case and class, quoted where needed, and no formulas', () => {
    const report = reportOf('a,"b"')
    const lines = renderCsv({ ...report, cases: report.cases.map((one) => ({ ...one, site: '=HYPERLINK(1)' })) }).split(
      '\n',
    )
    expect(lines).toHaveLength(1 + 2 * 3 + 1)
    expect(lines[0]).toBe(
      'subject,site,class,dice,jaccard,sensitivity,precision,specificity,volumetricSimilarity,truthMl,predictionMl,volumeErrorMl,foregroundDice,meshflDice',
    )
    expect(lines[2]).toBe(`"a,""b""",'=HYPERLINK(1),"a,""b""",1,1,1,1,1,1,0.002,0.002,0,1,1`)
  })
})

describe('summary.json of nnU-Net', () => {
  test('has counts of every label but background, and means that leave out 0/0', () => {
    const classNames = ['background', 'x', 'x 2']
    const measure = (subject: string, truth: number[], prediction: number[]) =>
      evaluateCase({ subject, truth, prediction, classNames, voxelVolumeMl: 1 })
    const cases = [measure('a', [0, 0, 1, 1, 2, 2], [0, 1, 1, 0, 2, 2]), measure('b', [0, 1], [0, 1])]
    const { metric_per_case, mean, foreground_mean } = JSON.parse(
      renderNnunetSummary(reportOf('x', { cases, gates: [] })).replaceAll('NaN', 'null'),
    )
    expect(metric_per_case[0]).toEqual({
      metrics: {
        1: { Dice: 0.5, FN: 1, FP: 1, IoU: 1 / 3, TN: 3, TP: 1, n_pred: 2, n_ref: 2 },
        2: { Dice: 1, FN: 0, FP: 0, IoU: 1, TN: 4, TP: 2, n_pred: 2, n_ref: 2 },
      },
      ...{ prediction_file: 'a', reference_file: 'a' },
    })
    expect(metric_per_case[1].metrics[2]).toMatchObject({ Dice: null, IoU: null, n_ref: 0 })
    expect(mean).toMatchObject({ 1: { Dice: 0.75, TP: 1 }, 2: { Dice: 1, TP: 1 } })
    expect(foreground_mean).toMatchObject({ Dice: 0.875, TP: 1 })
  })

  test('has NaN where there is no mean, and a subject of that name stays a text', () => {
    const text = renderNnunetSummary(reportOf('NaN', { cases: [], gates: [] }))
    expect(text).toContain('"Dice": NaN')
    const [one] = reportOf('NaN').cases
    expect(renderNnunetSummary(reportOf('NaN', { cases: [one!] }))).toContain('"prediction_file": "NaN"')
  })
})

describe('escaping', () => {
  test('leaves no markup and no character that XML cannot hold', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 30 }), (text) => {
        const [markup, markdown] = [escapeMarkup(text), escapeMarkdown(text)]
        const clean =
          !/[<>"']|&(?!amp;|lt;|gt;|quot;|#39;)|\p{Surrogate}/u.test(markup) && !/[<>|\n`[\]*]/.test(markdown)
        return clean
      }),
    )
  })

  test('in Markdown shows the text as it was, apostrophes and all', () => {
    const named: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"' }
    const shown = (markdown: string): string =>
      markdown.replace(/&(?:#(\d+)|(\w+));/g, (_, code, name) => (code ? String.fromCharCode(code) : named[name]!))
    expect(escapeMarkdown("the model's")).toBe('the model&#39;s')
    fc.assert(
      fc.property(fc.stringMatching(/^[ -~]*$/), (text) => {
        expect(shown(escapeMarkdown(text))).toBe(text.replace(/ +/g, ' '))
      }),
    )
  })
})
