import { type EventOf, formatBytes, formatDuration, type MeshflEvent, type SiteDescription } from '@meshfl/core'

type CanaryEvent = EventOf<'canary'>
type CanarySite = CanaryEvent['sites'][number]

/** What one round on all sites showed of each of them, and how long the run would take. */
export class CanaryReport {
  readonly #version: string
  readonly #sites = new Map<string, CanarySite>()
  readonly #steps = new Map<string, number[]>()
  readonly #stepsARound = new Map<string, number>()
  /** When the sites began to score. */
  #applied = 0

  /** @param version of the coordinator */
  constructor(version: string) {
    this.#version = version
  }

  /** A site asks to take part. */
  admit(description: SiteDescription): void {
    const { site, engine, instructionSet, version, trainCases, validCases, findings } = description
    const { plannedBytes, memoryBytes } = description
    const warnings: string[] = []
    if (version !== undefined && version !== this.#version)
      warnings.push(`it has meshfl ${version}, the coordinator ${this.#version}`)
    if (findings) warnings.push(`its dataset has ${findings} findings: look at its qc.html`)
    if (validCases === 0) warnings.push('it has no validation case: it does not count for the best model')
    if (plannedBytes !== undefined && memoryBytes !== undefined && plannedBytes > 0.8 * memoryBytes)
      warnings.push(`a step takes ${formatBytes(plannedBytes)} of ${formatBytes(memoryBytes)}`)
    this.#sites.set(site, {
      site,
      engine: `${engine} ${instructionSet}`,
      version,
      trainCases,
      validCases,
      findings,
      plannedBytes,
      memoryBytes,
      warnings,
    })
  }

  take(event: MeshflEvent): void {
    if (event.type === 'step') {
      this.#stepsARound.set(event.site, event.steps)
      if (event.seconds !== undefined)
        this.#steps.set(event.site, [...(this.#steps.get(event.site) ?? []), event.seconds])
    } else if (event.type === 'site-trained') {
      this.#change(event.site, { trainSeconds: event.seconds })
    } else if (event.type === 'update-applied') {
      this.#applied = Date.parse(event.time)
    } else if (event.type === 'site-evaluated') {
      this.#change(event.site, { evaluateSeconds: (Date.parse(event.time) - this.#applied) / 1000 })
    }
  }

  /** @param rounds of the run to come */
  finish(rounds: number): CanaryEvent {
    for (const [site, seconds] of this.#steps) this.#change(site, { stepSeconds: median(seconds) })
    const took = [...this.#sites.values()].filter(({ trainSeconds }) => trainSeconds !== undefined)
    const sites = took.sort((a, b) => (a.site < b.site ? -1 : 1))
    // A round waits for its slowest site twice. The first step reads and warms up: the median of several is what the others take.
    const trainSeconds = sites.map(({ site, stepSeconds, trainSeconds = 0 }) => {
      const known = this.#steps.get(site)?.length ?? 0
      return stepSeconds !== undefined && known >= 3 ? stepSeconds * this.#stepsARound.get(site)! : trainSeconds
    })
    const evaluateSeconds = sites.map(({ evaluateSeconds = 0 }) => evaluateSeconds)
    const roundSeconds = Math.max(...trainSeconds) + Math.max(...evaluateSeconds)
    return {
      type: 'canary',
      ok: sites.every(({ warnings }) => warnings.length === 0),
      rounds,
      roundSeconds,
      runSeconds: rounds * roundSeconds,
      sites,
    }
  }

  #change(site: string, change: Partial<CanarySite>): void {
    const known = this.#sites.get(site)
    if (known) this.#sites.set(site, { ...known, ...change })
  }
}

/** The report for a person: a line a site, what to look at, and the time. */
export function describeCanary({ sites, rounds, roundSeconds, runSeconds }: CanaryEvent): string {
  const bytes = (value: number | undefined): string => (value === undefined ? '?' : formatBytes(value))
  const time = (value: number | undefined): string => (value === undefined ? '?' : formatDuration(value))
  const rows = [
    ['site', 'engine', 'train', 'valid', 'step', 'training', 'scoring', 'memory'],
    ...sites.map((site) => [
      site.site,
      site.engine,
      String(site.trainCases),
      String(site.validCases),
      time(site.stepSeconds),
      time(site.trainSeconds),
      time(site.evaluateSeconds),
      `${bytes(site.plannedBytes)} of ${bytes(site.memoryBytes)}`,
    ]),
  ]
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)))
  return [
    ...rows.map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    ),
    ...sites.flatMap(({ site, warnings }) => warnings.map((words) => `look at ${site}: ${words}`)),
    `a round takes about ${formatDuration(roundSeconds)}, ${rounds} rounds ${formatDuration(runSeconds)}`,
  ].join('\n')
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}
