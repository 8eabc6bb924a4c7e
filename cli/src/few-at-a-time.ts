/**
 * Runs all, letting in a few at a time: the next one when one has arrived or ended. One event loop shakes hands at both ends of
 * every connection: with a thousand at once it is late for all of them.
 * @param most that are on their way at the same time
 * @param run runs one to its end, and says when it has arrived
 */
export async function fewAtATime<T>(
  all: readonly T[],
  most: number,
  run: (one: T, arrived: () => void) => Promise<void>,
): Promise<void> {
  const waiting = [...all].reverse()
  const enter = async (): Promise<void> => {
    const one = waiting.pop()
    if (one === undefined) return
    let next: Promise<void> | undefined
    const letIn = (): void => {
      if (next) return
      next = enter()
      next.catch(() => undefined) // seen below, unless this one has failed before: the first failure is told
    }
    await run(one, letIn)
    letIn()
    await next
  }
  await Promise.all(Array.from({ length: most }, enter))
}
