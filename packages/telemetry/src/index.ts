export { type FigureFiles, type FigureFilesOptions, figureFilesOf, openFigureFiles } from './figure-files.js'
export { type MetricsServer, MOST_CONNECTIONS, startMetricsServer } from './metrics-server.js'
export { createPrometheusMetrics, type PrometheusMetrics } from './prometheus.js'
