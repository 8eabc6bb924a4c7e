/** Hands out batches in their order, each made ready while those before it are worked on. */
export interface BatchFeed<T> {
  /**
   * The next batch.
   * @throws whatever making it ready threw; RangeError after the last
   */
  next(): Promise<T>
}

/**
 * @param ahead batches that are made ready beyond the one handed out
 */
export function createBatchFeed<Items, T>(
  batches: readonly Items[],
  ahead: number,
  makeReady: (items: Items) => Promise<T>,
): BatchFeed<T> {
  const underway: Promise<T>[] = []
  let begun = 0
  const begin = (): void => {
    const batch = makeReady(batches[begun++]!)
    batch.catch(() => undefined) // whoever asks for the batch gets the error
    underway.push(batch)
  }
  return {
    async next() {
      while (begun < batches.length && underway.length <= ahead) begin()
      const batch = underway.shift()
      if (batch === undefined) throw new RangeError('there is no batch left')
      return batch
    },
  }
}
