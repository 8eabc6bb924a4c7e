import { join } from 'node:path'
import type { EventSink, Study } from '@meshfl/core'
import type { Command } from 'commander'

export interface TelemetryOptions {
  figures?: boolean
  metrics?: string
}

/** Adds the options that hand a run's figures to other tools. */
export function withTelemetryOptions(command: Command): Command {
  return command
    .option('--figures', 'also write metrics.csv and TensorBoard files (tensorboard/) into the run as it goes on')
    .option('--metrics <host:port>', 'serve figures to Prometheus there: /metrics, and /healthz')
}

/** Where a run's events go besides its log and its view. */
export interface Telemetry {
  events: EventSink
  /** Where figures are served, in words. */
  listening?: string
  /** Files that it may come to hold open in a run of so many sites. */
  filesOf(sites: number): number
  close(): Promise<void>
}

/**
 * @param warn gets what goes wrong with the files, once; the run goes on
 * @throws MeshflError `LISTEN_INVALID`, `BIND_FAILED`
 */
export async function openTelemetry(
  options: TelemetryOptions,
  folder: string,
  study: Study,
  warn: (message: string) => void,
): Promise<Telemetry> {
  const sinks: EventSink[] = []
  const closings: (() => Promise<void> | void)[] = []
  const files: ((sites: number) => number)[] = []
  let listening: string | undefined
  if (options.figures || options.metrics !== undefined) {
    const [telemetry, { formatHostPort, readEventLog }, { parseListen }] = await Promise.all([
      import('@meshfl/telemetry'),
      import('@meshfl/core'),
      import('./listen-address.js'),
    ])
    const { createPrometheusMetrics, figureFilesOf, MOST_CONNECTIONS, openFigureFiles, startMetricsServer } = telemetry
    // Prometheus is told the best Dice of before; the figures are all made anew.
    const past = readEventLog(join(folder, 'events.jsonl'), options.figures ? undefined : ['best'])
    if (options.metrics !== undefined) {
      const metrics = createPrometheusMetrics(past)
      const server = await startMetricsServer(metrics, parseListen(options.metrics, '--metrics'))
      sinks.push(metrics.events)
      closings.push(() => server.close())
      files.push(() => 1 + MOST_CONNECTIONS)
      listening = `figures for Prometheus: http://${formatHostPort(server)}/metrics`
    }
    if (options.figures) {
      const figures = openFigureFiles({
        folder,
        classNames: study.classNames,
        past,
        onFailed: (error) =>
          warn(`metrics.csv and tensorboard/ end here: ${error instanceof Error ? error.message : error}`),
      })
      sinks.push(figures.write)
      closings.push(() => figures.close())
      files.push(figureFilesOf)
    }
  }
  return {
    events: (event) => {
      for (const sink of sinks) sink(event)
    },
    ...(listening === undefined ? {} : { listening }),
    filesOf: (sites) => files.reduce((sum, of) => sum + of(sites), 0),
    async close() {
      for (const close of closings) await close()
    },
  }
}
