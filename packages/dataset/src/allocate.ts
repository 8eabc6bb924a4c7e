/**
 * Shares a number of things out by weight, exactly: every share is its quota rounded down, and what remains goes to the
 * largest remainders (Hamilton's method), of equal ones to the first.
 * @param weights none negative, one at least positive
 */
export function allocate(total: number, weights: readonly number[]): number[] {
  const quotas = quotasOf(total, weights)
  const shares = quotas.map(Math.floor)
  let left = total - shares.reduce((a, b) => a + b, 0)
  const order = quotas.map((quota, index) => ({ index, remainder: quota - shares[index]! }))
  order.sort((a, b) => b.remainder - a.remainder || a.index - b.index)
  for (const { index } of order) {
    if (left <= 0) break
    shares[index]!++
    left--
  }
  return shares
}

/** What each share would be if things could be cut. */
export function quotasOf(total: number, weights: readonly number[]): number[] {
  const sum = weights.reduce((a, b) => a + b, 0)
  // 0.15 * 20 is 2.9999999999999996 in binary: a quota that close to a whole number is that number.
  return weights.map((weight) => {
    const quota = (total * weight) / sum
    return Math.abs(quota - Math.round(quota)) < 1e-9 * Math.max(1, total) ? Math.round(quota) : quota
  })
}
