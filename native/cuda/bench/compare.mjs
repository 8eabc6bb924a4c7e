// compare.mjs <folder> <name>...: how runs differ, the others from the first: rounds, losses, Dice on the test split, parameters.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const [at, ...names] = process.argv.slice(2)
const lines = (file) =>
  existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .flatMap((line) => {
          try {
            return [JSON.parse(line)]
          } catch {
            return []
          }
        })
    : []
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]

/** All fp32 values of a safetensors file, one after the other by name. */
function parameters(file) {
  if (!existsSync(file)) return null
  const bytes = readFileSync(file)
  const end = 8 + Number(bytes.readBigUInt64LE())
  const header = JSON.parse(bytes.subarray(8, end).toString())
  return Object.entries(header)
    .filter(([name, { dtype }]) => name !== '__metadata__' && dtype === 'F32')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(
      ([
        ,
        {
          data_offsets: [from, to],
        },
      ]) => Array.from({ length: (to - from) / 4 }, (_, i) => bytes.readFloatLE(end + from + 4 * i)),
    )
}

const runs = names.map((name) => {
  const events = lines(join(at, `run-${name}/events.jsonl`))
  return {
    name,
    started: events.find(({ type }) => type === 'run-started'),
    rounds: events.filter(({ type }) => type === 'round-finished'),
    steps: events.filter(({ type }) => type === 'site-trained'),
    report: lines(join(at, `eval-${name}.jsonl`)).findLast(({ type }) => type === 'report'),
    model: parameters(join(at, `run-${name}/latest.safetensors`)),
  }
})
const first = runs[0]
for (const { name, started, rounds, steps, report, model } of runs) {
  console.log(`\n${name}: ${started?.engine}, ${started?.device}`)
  if (rounds.length === 0) {
    console.log('  no round was done')
    process.exitCode = 1
    continue
  }
  const timing = (values) =>
    `${values[0].toFixed(3)} s, then ${median(values.length > 1 ? values.slice(1) : values).toFixed(3)} s`
  console.log(
    `  a round: first ${timing(rounds.map((round) => round.seconds))}; its ${steps[0].samples} training steps alone: ${timing(steps.map((step) => step.seconds))}`,
  )
  console.log(`  train loss: ${rounds.map((round) => round.trainLoss.toFixed(6)).join(' ')}`)
  console.log(`  valid Dice: ${rounds.map((round) => round.validDice?.foregroundDice.toFixed(5)).join(' ')}`)
  if (report) {
    const classes = Object.entries(report.dice).map(([label, dice]) => `${label} ${dice.toFixed(5)}`)
    console.log(`  test Dice of the best round: foreground ${report.foregroundDice.toFixed(5)}, ${classes.join(', ')}`)
  }
  if (name === first.name || first.rounds.length === 0) continue
  const apart = rounds.flatMap((round, i) => {
    const other = first.rounds[i]
    return other ? [Math.abs(round.trainLoss / other.trainLoss - 1).toExponential(1)] : []
  })
  console.log(`  from ${first.name}: train losses apart by ${apart.join(' ')} of them`)
  if (!model || first.model?.length !== model.length || rounds.length !== first.rounds.length) continue
  const norm = (values) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))
  const distance = norm(model.map((value, i) => value - first.model[i])) / norm(first.model)
  console.log(`  from ${first.name}: parameters apart by ${distance.toExponential(2)} of their norm`)
}
const [one, two] = ['cuda', 'cuda-again'].map((name) => runs.find((run) => run.name === name)?.model)
const same = one && two && one.length === two.length && one.every((value, i) => Object.is(value, two[i]))
console.log(`\ncuda twice: ${same ? 'the same bits' : one && two ? 'NOT the same bits' : 'a model is missing'}`)
if (!same) process.exitCode = 1
