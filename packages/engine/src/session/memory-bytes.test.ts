import { MeshNetSpecSchema } from '@meshfl/core'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { openEngine, probeEngines } from '../open-engine.js'

afterEach(() => void vi.restoreAllMocks())

for (const { name, available, reason } of await probeEngines()) {
  if (name === 'cuda') continue // a GPU has memory of its own
  const missing = available ? '' : `: not here: ${reason}`
  describe.skipIf(missing !== '')(`the ${name} engine${missing}`, () => {
    test('plans with what its container allows, and leaves some of it to the process', async () => {
      vi.spyOn(process, 'constrainedMemory').mockReturnValue(600e6)
      const engine = await openEngine({ device: name, threads: 1 })
      expect(engine.device.memoryBytes).toBe(300e6)
      const spec = MeshNetSpecSchema.parse({})
      const session = await engine.createSession(spec, { depth: 128, height: 128, width: 128 })
      const { limitBytes, plannedBytes, recomputedBlocks } = session.memory
      session.dispose()
      expect(limitBytes).toBe(engine.device.memoryBytes)
      expect(plannedBytes).toBeLessThan(limitBytes)
      expect(recomputedBlocks).not.toEqual([])
    })
  })
}
