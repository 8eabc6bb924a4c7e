import { isRepeatedTest, type Report } from '../report.js'
import { repeatedText } from './format.js'

/** GitHub shows ten annotations of a kind a step. */
const MOST_LINES = 10

/**
 * Lines that GitHub Actions shows as annotations of a job: every gate that failed, and what a reader of the figures must know.
 * https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
 */
export function githubAnnotations(report: Report): string[] {
  const failed = report.gates.filter(({ outcome }) => outcome === 'failed')
  const notes = [...(isRepeatedTest(report) ? [repeatedText(report)] : []), ...(report.notes ?? [])]
  return [
    ...failed
      .slice(0, MOST_LINES)
      .map((gate) => `::error title=${property(`gate: ${gate.class} ${gate.metric}`)}::${data(gate.reason)}`),
    ...notes.slice(0, MOST_LINES).map((note) => `::warning title=meshfl eval::${data(note)}`),
  ]
}

function data(text: string): string {
  const shown = text.replace(/%/g, '%25').replace(/\r/g, '%0D').replace(/\n/g, '%0A')
  return shown.replace(/\p{Cc}/gu, '\ufffd') // what would colour or clear the log
}

function property(text: string): string {
  return data(text).replace(/:/g, '%3A').replace(/,/g, '%2C')
}
