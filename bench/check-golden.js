// Holds every instruction set of the CPU's addon to the golden numbers of PyTorch, with nothing but Node and what `npm run setup`
// compiles: for machines on which the test runner does not run. `[MESHFL_NATIVE=<addon>] node bench/check-golden.js`.
import { fileURLToPath } from 'node:url'
import { cpuInstructionSets, createCpuEngine } from '@meshfl/engine'
import { readGoldenCases } from '@meshfl/testkit'

/** Of the largest number of PyTorch's; bf16 rounds to eight bits through every layer. */
const TOLERANCES = {
  fp32: { logits: 1e-5, loss: 1e-6, gradients: 1e-3 },
  bf16: { logits: 3e-2, loss: 1e-2, gradients: 1e-1 },
}

const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
const distance = (found, truth) => largest(found.map((value, i) => value - truth[i])) / largest(truth)

let failed = 0
let tried = 0
const cases = readGoldenCases(fileURLToPath(new URL('../fixtures/golden', import.meta.url)))
for (const precision of ['fp32', 'bf16']) {
  for (const instructionSet of await cpuInstructionSets(precision)) {
    tried++
    const engine = await createCpuEngine({ instructionSet, precision })
    const worst = { logits: 0, loss: 0, gradients: 0 }
    for (const { spec, grid, model, batch, labels, loss, logits, step } of cases) {
      const session = await engine.createSession(spec, grid, { precision, threads: 2 })
      const found = await session.forward(model, batch, { logits: true })
      worst.logits = Math.max(worst.logits, distance(found.logits, logits))
      if (step) {
        const trained = await session.forwardBackward(model, batch, labels, loss, { seed: 0 })
        worst.loss = Math.max(worst.loss, Math.abs(trained.loss - step.loss) / step.loss)
        worst.gradients = Math.max(worst.gradients, distance(trained.gradients, step.gradients))
      }
      session.dispose()
    }
    const wrong = Object.entries(TOLERANCES[precision]).filter(([name, most]) => !(worst[name] < most))
    failed += wrong.length
    const figures = Object.entries(worst).map(([name, value]) => `${name} ${value.toExponential(1)}`)
    process.stdout.write(`${wrong.length ? 'WRONG' : 'ok   '} ${precision} ${instructionSet}: ${figures.join(', ')}\n`)
  }
}
if (tried === 0) process.stdout.write('WRONG there is no addon\n')
if (failed > 0 || tried === 0) process.exitCode = 1
