#!/usr/bin/env node
// Writes cli/bench/answers.json: what the float64 reference engine answers to the problem that `meshfl bench` checks engines with.
//   node bench/make-answers.js [channels,...]     after npm run build; minutes for all
import { writeFileSync } from 'node:fs'
import { createReferenceEngine } from '@meshfl/testkit'
import { answerOf, CHECKED_GRID, createProblem } from '../cli/build/bench/problem.js'

const CHANNELS = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 16, 20, 21, 24, 30, 32]
const channels = process.argv[2]?.split(',').map(Number) ?? CHANNELS

const answers = {}
for (const count of channels) {
  const { spec, grid, model, images, labels, loss } = createProblem(CHECKED_GRID, count)
  const session = await createReferenceEngine().createSession(spec, grid)
  const step = await session.forwardBackward(model, { images, count: 1 }, labels, loss, { seed: 0 })
  answers[count] = answerOf(step.loss, step.gradients)
  process.stderr.write(`${count} channels\n`)
}
writeFileSync(new URL('../cli/bench/answers.json', import.meta.url), `${JSON.stringify(answers, null, 2)}\n`)
