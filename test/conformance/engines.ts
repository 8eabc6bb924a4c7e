import { cpuInstructionSets, createCpuEngine, type Engine, openEngine } from '@meshfl/engine'
import { createReferenceEngine } from '@meshfl/testkit'
import { expect, test } from 'vitest'
import { openCudaShim } from './cuda-shim.js'

/** `cpu` once for every instruction set of this machine: `cpu avx2` and so on. */
type EngineName = 'reference' | Engine['name'] | `cpu ${string}` | 'cuda-shim'

/** An engine of this machine, or why it has none. */
export type Candidate = { name: EngineName } & ({ engine: Engine } | { missing: string })

/** Engines that must be there, from MESHFL_REQUIRE=wasm,cpu,cuda: a missing one is then a failure and no skip. */
const required = new Set<string>((process.env.MESHFL_REQUIRE ?? '').split(',').map((name) => name.trim()))

/** Stands for the tests of an engine that is not here: skipped with the reason, or failed where MESHFL_REQUIRE asks for it. */
export function testMissing(title: string, { name, missing }: { name: string; missing: string }): void {
  if (required.has(name)) test(`${title}, which MESHFL_REQUIRE asks for`, () => expect.fail(missing))
  else test.skip(`${title}: not here: ${missing}`, () => undefined)
}

/** Every engine, and the CUDA backend compiled for this CPU: slow, so for small grids. */
export async function openEveryEngineAndShim(): Promise<Candidate[]> {
  return [...(await openEveryEngine()), { name: 'cuda-shim', ...(await openCudaShim()) }]
}

/** Opens every engine by its name; one that falls back to another counts as missing. */
export async function openEveryEngine(): Promise<Candidate[]> {
  const candidates: Candidate[] = [{ name: 'reference', engine: createReferenceEngine() }]
  // openEngine opens nothing while anything required is missing; here each is asked for itself.
  delete process.env.MESHFL_REQUIRE
  for (const name of ['wasm', 'cpu', 'cuda'] as const) {
    try {
      const engine = await openEngine({ device: name })
      if (engine.name !== name) throw new Error(`openEngine gave ${engine.name}`)
      candidates.push({ name, engine })
    } catch (error) {
      candidates.push({ name, missing: error instanceof Error ? error.message : String(error) })
    }
  }
  // The best one is the `cpu` above.
  for (const instructionSet of (await cpuInstructionSets()).slice(1)) {
    candidates.push({ name: `cpu ${instructionSet}`, engine: await createCpuEngine({ instructionSet }) })
  }
  return candidates
}
