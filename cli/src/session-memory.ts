import { formatBytes, MeshflError, MeshNetSpecSchema } from '@meshfl/core'
import type { Engine } from '@meshfl/engine'

const GRID = { depth: 256, height: 256, width: 256 }

/**
 * What a training step of the standard network at 256^3 would take on an engine in each precision: all kept, and at least. Plans only,
 * nothing of that size is allocated.
 */
export async function describeSessionMemory(engine: Engine): Promise<string[]> {
  const spec = MeshNetSpecSchema.parse({})
  const plan = async (precision: 'fp32' | 'bf16', checkpointing: 'none' | 'layer'): Promise<number> => {
    const session = await engine.createSession(spec, GRID, { purpose: 'train', precision, checkpointing })
    session.dispose()
    return session.memory.plannedBytes
  }
  const lines: string[] = []
  for (const precision of ['fp32', 'bf16'] as const) {
    try {
      const least = await plan(precision, 'layer')
      const all = await plan(precision, 'none').catch(tooLarge)
      const whole = all === null ? 'does not fit whole' : `takes ${formatBytes(all)}`
      lines.push(
        `${precision}: a training step at 256^3 ${whole}, at least ${formatBytes(least)} with layers computed again`,
      )
    } catch (error) {
      if (!(error instanceof MeshflError)) throw error
      lines.push(`${precision}: ${error.message}`)
    }
  }
  return lines
}

function tooLarge(error: unknown): null {
  if (error instanceof MeshflError && error.code === 'ENGINE_MEMORY') return null
  throw error
}
