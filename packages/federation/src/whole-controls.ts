import type { Federation } from '@meshfl/core'
import type { Header } from './messages.js'

const WHOLE = 'whole'

/**
 * What WELCOME and JOIN say where scaffold is the strategy: that an update's vector is the site's control variate itself. The version
 * before sent how it had changed, in a frame that looks the same: between the two, numbers would be wrong and nothing would say so.
 */
export function sayWholeControls({ strategy }: Federation): { controls?: typeof WHOLE } {
  return strategy === 'scaffold' ? { controls: WHOLE } : {}
}

/** Whether the other side means something else by a control variate than this one. */
export function isOtherControl({ strategy }: Federation, { controls }: Pick<Header<'JOIN'>, 'controls'>): boolean {
  return strategy === 'scaffold' && controls !== WHOLE
}
