import type { CrossSite } from './report.js'

/** The foreground Dice of one model: at each site, and over the cases of all. */
export interface ScoreRow {
  model: string
  /** In the order of the matrix's sites; null where there is no figure. */
  dice: (number | null)[]
  mean: number | null
}

/** The cross-site table: a row a model in the order in which they were scored (the global one first), a column a site. */
export interface ScoreMatrix {
  sites: { site: string; cases: number }[]
  rows: ScoreRow[]
}

export function scoreMatrix({ scores }: CrossSite): ScoreMatrix {
  const cases = new Map(scores.map(({ site, cases: count }) => [site, count]))
  const sites = [...cases.keys()].sort().map((site) => ({ site, cases: cases.get(site)! }))
  const models = [...new Set(scores.map(({ model }) => model))]
  const rows = models.map((model): ScoreRow => {
    const own = scores.filter((score) => score.model === model && score.cases > 0)
    const found = new Map(own.map(({ site, dice }) => [site, dice.foregroundDice]))
    const scored = own.filter(({ dice }) => dice.foregroundDice !== null)
    const total = scored.reduce((sum, score) => sum + score.cases, 0)
    const sum = scored.reduce((all, score) => all + score.cases * score.dice.foregroundDice!, 0)
    return {
      model,
      dice: sites.map(({ site }) => found.get(site) ?? null),
      mean: total === 0 ? null : sum / total,
    }
  })
  return { sites, rows }
}
