export { type FigureFiles, type FigureFilesOptions, openFigureFiles } from './figure-files.js'
export { type MetricsServer, startMetricsServer } from './metrics-server.js'
export { createPrometheusMetrics, type PrometheusMetrics } from './prometheus.js'
