import { assertNever, MeshflError } from '@meshfl/core'

/** How subjects are dealt to sites. */
export type Partition =
  /** Equal shares of a shuffle. */
  | { how: 'iid' }
  /** Shares drawn from a symmetric Dirichlet distribution. */
  | { how: 'quantity'; alpha: number }
  /** Equal shares; each site's mixture of the column's values is drawn from a Dirichlet distribution. */
  | { how: 'dirichlet'; alpha: number; column: string }
  /** A site for every value of the column. */
  | { how: 'by'; column: string }

/** Below, every draw is all of one thing; above, all draws are alike. */
const ALPHA = { min: 1e-6, max: 1e6 }

/**
 * Reads `iid`, `quantity:0.5`, `dirichlet:0.5:vendor` or `by:vendor`.
 * @param stratify the column whose mixtures are drawn where `dirichlet:0.5` names none
 * @throws MeshflError `PARTITION_INVALID`
 */
export function parsePartition(text: string, stratify?: string): Partition {
  const [, how, rest = ''] = /^([a-z]+)(?::(.*))?$/s.exec(text.normalize('NFC')) ?? []
  if (how === 'iid' && text === how) return { how }
  if (how === 'by' && rest.trim() !== '') return { how, column: rest.trim() }
  const [, number = '', named] = /^([^:]*)(?::(.*))?$/s.exec(rest) ?? []
  const alpha = number.trim() === '' ? Number.NaN : Number(number)
  const column = (how === 'dirichlet' ? (named ?? stratify) : named)?.trim()
  const isAlpha = alpha >= ALPHA.min && alpha <= ALPHA.max
  if (how === 'quantity' && isAlpha && column === undefined) return { how, alpha }
  if (how === 'dirichlet' && isAlpha && column) return { how, alpha, column }
  if (how === 'dirichlet' && isAlpha && named === undefined) {
    throw new MeshflError('PARTITION_INVALID', `${text} does not say which column's values are mixed`, {
      kind: 'usage',
      hint: `name it: ${text}:<column>, or --stratify <column>`,
    })
  }
  throw new MeshflError('PARTITION_INVALID', `${text} is no way to deal subjects to sites`, {
    kind: 'usage',
    hint: `give iid, quantity:<alpha>, dirichlet:<alpha>:<column> or by:<column>; alpha is a number from ${ALPHA.min} to ${ALPHA.max}, such as 0.5`,
  })
}

/** As it is written in a manifest: equal partitions give equal text. */
export function partitionName(partition: Partition): string {
  switch (partition.how) {
    case 'iid':
      return 'iid'
    case 'quantity':
      return `quantity:${partition.alpha}`
    case 'dirichlet':
      return `dirichlet:${partition.alpha}:${partition.column}`
    case 'by':
      return `by:${partition.column}`
    default:
      return assertNever(partition)
  }
}

/** The column that it goes by, if any. */
export function columnOf(partition: Partition): string | undefined {
  return 'column' in partition ? partition.column : undefined
}
