import type { SiteState } from '@meshfl/core'
import { drawBar } from './bar.js'
import { formatAge, formatAmount, formatFigure } from './figures.js'
import type { FrameOptions } from './frame.js'
import type { Tone } from './palette.js'
import { cutMiddle, cutText, displayWidth, fitText } from './text.js'
import type { SiteView, ViewState } from './view-state.js'

const TONES: Record<SiteState, Tone | null> = {
  joining: 'cyan',
  online: null,
  training: 'green',
  evaluating: 'blue',
  waiting: 'dim',
  suspect: 'yellow',
  lost: 'red',
  left: 'dim',
  done: 'green',
  failed: 'red',
}
const TROUBLED: readonly SiteState[] = ['failed', 'lost', 'suspect', 'left']
const GAP = '  '

interface Column {
  head: string
  width: number
  align: 'left' | 'right'
  /** What a narrow terminal drops first has the highest number; 0 stays. */
  rank: number
  cell(site: SiteView): string
  tone?(site: SiteView): Tone | null
}

/** The table of sites in at most `room` lines; with more sites than fit, those in trouble stay and the last line counts the rest. */
export function drawSites(state: ViewState, options: FrameOptions, room: number): string[] {
  const waiting = waitingLine(state, options)
  const lines: string[] = []
  const space = room - (waiting === null ? 0 : 1)
  if (state.sites.length > 0 && space >= 1) {
    const hasHead = space >= 2
    const places = space - (hasHead ? 1 : 0)
    const shown = choose(state.sites, places < state.sites.length ? places - 1 : places)
    const { columns, bar } = layOut(state.sites, options)
    if (hasHead) lines.push(headLine(columns, bar, options))
    for (const site of shown) lines.push(siteLine(site, columns, bar, options))
    if (shown.length < state.sites.length) lines.push(moreLine(state.sites, shown, options))
  }
  if (waiting !== null && room > 0) lines.push(waiting)
  return lines
}

/** Says how many sites are missing, while any are and nothing has begun without them. */
export function waitingLine(state: ViewState, { columns, paint, interaction }: FrameOptions): string | null {
  const missing = state.expectedSites - state.sites.length
  if (missing <= 0 || state.done || interaction.final) return null
  if (state.expectedSites === 1 && state.invites.length === 0) return null
  const invites = state.invites.length > 0 ? '; the invites are above' : ''
  const key = invites !== '' && interaction.keys ? ', i prints them again' : ''
  return paint('cyan', cutText(`waiting for ${missing} of ${state.expectedSites} sites${invites}${key}`, columns))
}

function choose(sites: readonly SiteView[], places: number): readonly SiteView[] {
  if (sites.length <= places) return sites
  const troubled = sites.filter((site) => TROUBLED.includes(site.state)).slice(0, Math.max(0, places))
  const calm = sites.filter((site) => !TROUBLED.includes(site.state)).slice(0, Math.max(0, places - troubled.length))
  return sites.filter((site) => troubled.includes(site) || calm.includes(site))
}

function moreLine(sites: readonly SiteView[], shown: readonly SiteView[], { columns, paint }: FrameOptions): string {
  const counts = new Map<SiteState, number>()
  for (const site of sites) if (!shown.includes(site)) counts.set(site.state, (counts.get(site.state) ?? 0) + 1)
  const parts = [...counts].map(([state, count]) => `${count} ${state}`)
  return paint('dim', cutText(`+ ${sites.length - shown.length} more: ${parts.join(', ')}`, columns))
}

function layOut(sites: readonly SiteView[], options: FrameOptions): { columns: Column[]; bar: number } {
  const { glyphs, nowMs } = options
  const nameWidth = Math.min(24, Math.max(4, ...sites.map((site) => displayWidth(site.name))))
  const stepWidth = Math.max(5, ...sites.map((site) => stepText(site, glyphs.dash).length))
  const all: Column[] = [
    { head: 'site', width: nameWidth, align: 'left', rank: 0, cell: (site) => cutMiddle(site.name, nameWidth) },
    { head: 'state', width: 10, align: 'left', rank: 0, cell: (site) => site.state, tone: (site) => TONES[site.state] },
    { head: 'step', width: stepWidth, align: 'right', rank: 2, cell: (site) => stepText(site, glyphs.dash) },
    { head: 'loss', width: 6, align: 'right', rank: 3, cell: (site) => formatFigure(site.loss, 4, glyphs.dash) },
    {
      head: 'Dice',
      width: 6,
      align: 'right',
      rank: 1,
      cell: (site) => formatFigure(site.validDice ?? site.trainDice, 4, glyphs.dash),
    },
    {
      head: 'seen',
      width: 6,
      align: 'right',
      rank: 4,
      cell: (site) => formatAge((nowMs - site.lastSeenMs) / 1000),
      tone: () => 'dim',
    },
    {
      head: 'sent',
      width: 7,
      align: 'right',
      rank: 6,
      cell: (site) => formatAmount(site.bytesSent, glyphs.dash),
      tone: () => 'dim',
    },
    {
      head: 'received',
      width: 8,
      align: 'right',
      rank: 7,
      cell: (site) => formatAmount(site.bytesReceived, glyphs.dash),
      tone: () => 'dim',
    },
  ]
  let columns = all.filter((column) => column.rank < 6 || sites.some((site) => site.bytesSent + site.bytesReceived > 0))
  const smallestBar = 8
  for (
    let rank = 7;
    rank > 0 && tableWidth(columns) + GAP.length + (rank > 2 ? smallestBar : 0) > options.columns;
    rank--
  ) {
    columns = columns.filter((column) => column.rank !== rank)
  }
  const spare = options.columns - tableWidth(columns) - GAP.length
  const bar = columns.some((column) => column.head === 'step') && spare >= 4 ? spare : 0
  const widest = options.columns - tableWidth(columns) + columns[0]!.width
  if (tableWidth(columns) > options.columns) columns[0] = { ...columns[0]!, width: Math.max(1, widest) }
  return { columns, bar }
}

function tableWidth(columns: readonly Column[]): number {
  return columns.reduce((sum, column) => sum + column.width, 0) + GAP.length * (columns.length - 1)
}

function headLine(columns: readonly Column[], bar: number, { paint, columns: width }: FrameOptions): string {
  const cells = columns.flatMap((column) => [
    ...(column.head === 'step' && bar > 0 ? [' '.repeat(bar)] : []),
    fitText(column.head, column.width, column.align),
  ])
  return paint('dim', cutText(cells.join(GAP).trimEnd(), width))
}

function siteLine(site: SiteView, columns: readonly Column[], bar: number, options: FrameOptions): string {
  const { paint, glyphs } = options
  const trouble = TROUBLED.includes(site.state) && site.reason !== null && site.reason !== ''
  const cells: string[] = []
  for (const column of columns) {
    // Why a site is not there is worth more than how far it got.
    if (column.head === 'step' && trouble) {
      const width = column.width + (bar > 0 ? bar + GAP.length : 0)
      cells.push(paint(TONES[site.state], fitText(site.reason!, width)))
      continue
    }
    if (column.head === 'step' && bar > 0) cells.push(drawBar(stepFraction(site), bar, paint, glyphs))
    cells.push(paint(column.tone?.(site) ?? null, fitText(column.cell(site), column.width, column.align)))
  }
  const line = cells.join(GAP)
  return displayWidth(line) > options.columns ? cutText(site.name, options.columns) : line
}

function stepText(site: SiteView, dash: string): string {
  return site.steps > 0 ? `${site.step}/${site.steps}` : dash
}

function stepFraction(site: SiteView): number {
  return site.steps > 0 ? site.step / site.steps : 0
}
