import { readFile } from 'node:fs/promises'
import { MeshflError, packageFile } from '@meshfl/core'
import type { Engine } from '@meshfl/engine'
import { type Answer, answerOf, CHECKED_GRID, createProblem } from './problem.js'

/** Largest error, of the loss and of the gradient over its size: rounding of the sums, and of bf16's eight bits through nine layers. */
const TOLERANCE = { fp32: 1e-4, bf16: 0.1 }

/** What the float64 reference engine answers, by channels: written by bench/make-answers.js. */
const ANSWERS = packageFile('meshfl', 'bench/answers.json', import.meta.url)

/**
 * Holds a training step of an engine against the reference: a fast wrong kernel is no figure.
 * @returns why it cannot be held against it; undefined when it agrees
 * @throws MeshflError `BENCH_WRONG_ANSWER`
 */
export async function checkAnswer(
  engine: Engine,
  channels: number,
  precision: 'fp32' | 'bf16',
  threads: number,
): Promise<string | undefined> {
  const answers = JSON.parse(await readFile(ANSWERS, 'utf8')) as Record<string, Answer>
  const truth = answers[channels]
  if (!truth)
    return `there is no reference answer for ${channels} channels, only for ${Object.keys(answers).join(', ')}`
  const { spec, grid, model, images, labels, loss } = createProblem(CHECKED_GRID, channels)
  // All outputs kept, and as few as can be: what is computed again must be right too.
  for (const checkpointing of ['none', 'layer'] as const) {
    const session = await engine.createSession(spec, grid, { threads, precision, checkpointing })
    try {
      const step = await session.forwardBackward(model, { images, count: 1 }, labels, loss, { seed: 0 })
      const error = errorOf(answerOf(step.loss, step.gradients), truth)
      if (error < TOLERANCE[precision]) continue
      throw new MeshflError(
        'BENCH_WRONG_ANSWER',
        `the ${engine.name} engine computes a step of ${channels} channels in ${precision} wrongly (checkpointing ${checkpointing}): it is ${error.toExponential(1)} from the reference`,
        {
          hint: 'build the engine again; please report it when it stays',
          data: { engine: engine.name, channels, error },
        },
      )
    } finally {
      session.dispose()
    }
  }
  return undefined
}

/** NaN when something is not a number, which is below no tolerance. */
function errorOf(found: Answer, truth: Answer): number {
  const differences = [
    (found.loss - truth.loss) / truth.loss,
    (found.gradientNorm - truth.gradientNorm) / truth.gradientNorm,
    ...truth.projections.map((value, i) => (found.projections[i]! - value) / truth.gradientNorm),
  ].map(Math.abs)
  return differences.some(Number.isNaN) ? Number.NaN : Math.max(...differences)
}
