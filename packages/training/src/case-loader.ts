import type { Case } from '@meshfl/dataset'

/** One conformed case in memory: bytes of the session's grid, x fastest. */
export interface LoadedCase {
  image: Uint8Array
  label: Uint8Array
}

export type LoadCase = (item: Case) => Promise<LoadedCase>

/** Where the bytes of cases come from while training. */
export interface CaseLoader {
  /** @throws whatever `loadCase` throws */
  load(item: Case): Promise<LoadedCase>
  /** Starts to load a case that will be asked for soon; a failure is reported by `load`. */
  prefetch(item: Case): void
  readonly cachedBytes: number
}

/**
 * Keeps decoded cases while they fit the budget and never evicts: every epoch visits each case once, so a cache that makes
 * room for the newest would miss every time when the cases do not fit.
 * @param cacheBytes most bytes of decoded volumes to keep
 */
export function createCaseLoader(loadCase: LoadCase, cacheBytes: number): CaseLoader {
  const cached = new Map<string, LoadedCase>()
  const pending = new Map<string, Promise<LoadedCase>>()
  let cachedBytes = 0

  const begin = (item: Case): Promise<LoadedCase> => {
    const underway = pending.get(item.id)
    if (underway) return underway
    const loading = loadCase(item)
    loading.catch(() => undefined) // whoever asks for the case gets the error
    pending.set(item.id, loading)
    return loading
  }

  return {
    async load(item) {
      const held = cached.get(item.id)
      if (held) return held
      try {
        const loaded = await begin(item)
        const bytes = loaded.image.byteLength + loaded.label.byteLength
        if (!cached.has(item.id) && cachedBytes + bytes <= cacheBytes) {
          cached.set(item.id, loaded)
          cachedBytes += bytes
        }
        return loaded
      } finally {
        pending.delete(item.id)
      }
    },
    prefetch(item) {
      if (!cached.has(item.id)) begin(item)
    },
    get cachedBytes() {
      return cachedBytes
    },
  }
}
