/**
 * Calls `work` for every item, at most `workers` at a time. After the first failure no further item is begun; it throws
 * that failure once the items in progress have come to their ends.
 */
export async function concurrently<T>(
  items: readonly T[],
  workers: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0
  let failure: { error: unknown } | undefined
  const worker = async (): Promise<void> => {
    while (next < items.length && failure === undefined) {
      const index = next++
      try {
        await work(items[index]!, index)
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, Math.min(workers, items.length)) }, worker))
  if (failure !== undefined) throw failure.error
}
