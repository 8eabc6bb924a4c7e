import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { probeEngines } from '../open-engine.js'

/**
 * A training step in a process of its own, and what the system says is resident of its large anonymous mappings after it. JavaScript's
 * heap comes in pieces of 256 KB and grows and shrinks as it likes; a session's buffers are one mapping.
 */
const SCRIPT = `
  const { readFileSync } = await import('node:fs')
  const { openEngine, initializeModel } = await import('@meshfl/engine')
  const { MeshNetSpecSchema } = await import('@meshfl/core')
  const resident = () => {
    const mappings = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    const anonymous = mappings.filter((text) => / 0 *$/.test(text.slice(0, text.indexOf('\\n'))))
    const sizes = anonymous.map((text) => 1024 * Number(/^Rss: *(\\d+)/m.exec(text)?.[1]))
    return sizes.filter((bytes) => bytes > 2e7).reduce((sum, bytes) => sum + bytes, 0)
  }
  const spec = MeshNetSpecSchema.parse({})
  const { device, batchSize, ...options } = JSON.parse(process.argv[1])
  const engine = await openEngine({ device, threads: 2, ...options })
  const edge = 96
  const batch = { images: new Uint8Array(batchSize * edge ** 3), count: batchSize }
  const session = await engine.createSession(spec, { depth: edge, height: edge, width: edge }, { batchSize })
  const before = resident()
  const loss = { classWeights: [1, 1, 1], labelSmoothing: 0 }
  await session.forwardBackward(initializeModel(spec, 1), batch, new Uint8Array(batch.images.length), loss, { seed: 0 })
  console.log(JSON.stringify({ grown: resident() - before, ...session.memory }))`

const linux = process.platform === 'linux'
for (const { name, available, reason } of await probeEngines()) {
  const missing = linux ? (available ? '' : `: not here: ${reason}`) : ': only Linux tells what is resident'
  describe.skipIf(missing !== '')(`a training step of the ${name} engine${missing}`, () => {
    test.each([
      { checkpointing: 'none', batchSize: 1, recomputed: 0 },
      { maxMemoryBytes: 1.5e8, batchSize: 1, recomputed: 2 },
      { checkpointing: 'layer', batchSize: 2, recomputed: 5 },
    ])('takes what was planned, within 5 %: %o', ({ recomputed, ...options }) => {
      const words = JSON.stringify({ device: name, ...options })
      const printed = execFileSync(process.execPath, ['--input-type=module', '-e', SCRIPT, words], {
        cwd: new URL('../..', import.meta.url),
        encoding: 'utf8',
      })
      const { grown, plannedBytes, peakBytes, recomputedBlocks } = JSON.parse(printed)
      expect(recomputedBlocks.length).toBe(recomputed)
      expect(peakBytes).toBe(plannedBytes)
      expect(grown / plannedBytes).toBeGreaterThan(0.95)
      expect(grown / plannedBytes).toBeLessThan(1.05)
    })
  })
}
