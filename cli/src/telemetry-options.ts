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
  let listening: string | undefined
  if (options.figures || options.metrics !== undefined) {
    const [{ createPrometheusMetrics, openFigureFiles, startMetricsServer }, { readEventLog }, { parseListen }] =
      await Promise.all([import('@meshfl/telemetry'), import('@meshfl/core'), import('./listen-address.js')])
    const past = readEventLog(join(folder, 'events.jsonl'))
    if (options.metrics !== undefined) {
      const metrics = createPrometheusMetrics(past)
      const server = await startMetricsServer(metrics, parseListen(options.metrics, '--metrics'))
      sinks.push(metrics.events)
      closings.push(() => server.close())
      listening = `figures for Prometheus: http://${server.host}:${server.port}/metrics`
    }
    if (options.figures) {
      const files = openFigureFiles({
        folder,
        classNames: study.classNames,
        past,
        onFailed: (error) =>
          warn(`metrics.csv and tensorboard/ end here: ${error instanceof Error ? error.message : error}`),
      })
      sinks.push(files.write)
      closings.push(() => files.close())
    }
  }
  return {
    events: (event) => {
      for (const sink of sinks) sink(event)
    },
    ...(listening === undefined ? {} : { listening }),
    async close() {
      for (const close of closings) await close()
    },
  }
}
