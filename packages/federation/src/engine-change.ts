import type { SiteDescription } from '@meshfl/core'
import type { Refusal } from './admissions.js'

type Computed = Pick<SiteDescription, 'engine' | 'instructionSet' | 'precision'>

/** What a site's bits depend on: `cpu (avx512, fp32)`. */
function engineText({ engine, instructionSet, precision }: Computed): string {
  return `${engine} (${instructionSet}, ${precision})`
}

/** From what to what a site's engine has changed since it was admitted; undefined where it has not. */
export function engineChange(admitted: Computed, now: Computed): { had: string; has: string } | undefined {
  const [had, has] = [engineText(admitted), engineText(now)]
  return had === has ? undefined : { had, has }
}

/** A run that is promised to end with the same bits does not go on with others unless the site's operator says so. */
export function refuseEngine(admitted: SiteDescription, now: SiteDescription): Refusal | undefined {
  const change = engineChange(admitted, now)
  if (!change) return undefined
  return {
    code: 'SITE_ENGINE_CHANGED',
    reason: `${now.site} was admitted with ${change.had}, it now computes with ${change.has}`,
  }
}
