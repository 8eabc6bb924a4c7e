import { once } from 'node:events'
import { connect } from 'node:net'
import type { MeshflEvent } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { type MetricsServer, MOST_CONNECTIONS, startMetricsServer } from './metrics-server.js'
import { createPrometheusMetrics } from './prometheus.js'

const time = '2026-01-02T03:04:05.000Z'
let server: MetricsServer | undefined
afterEach(() => server?.close())

test('Prometheus reads the round, the sites’ states, Dice and traffic of a run', async () => {
  const metrics = createPrometheusMetrics()
  server = await startMetricsServer(metrics, { host: '127.0.0.1', port: 0 })
  const { events } = metrics
  events({ type: 'site-state', time, site: 'a', state: 'training' })
  events({ type: 'site-state', time, site: 'a', state: 'lost' })
  events({ type: 'traffic', time, site: 'a', bytesSent: 10, bytesReceived: 20 })
  const leftOut = [{ site: 'b', reason: 'lost' }]
  events({ type: 'update-applied', time, round: 7, parametersSha256: '', sites: ['a'], leftOut })
  const dice = { perClass: { 'white "matter"': 0.5 }, foregroundDice: 0.25 }
  events({
    ...{ type: 'round-finished', time, round: 7, rounds: 9, trainLoss: 1.5, trainDice: dice, validLoss: null },
    ...{ validDice: null, parametersSha256: '', seconds: 2, secondsLeft: null },
  } as Parameters<typeof events>[0])
  const response = await fetch(`http://127.0.0.1:${server.port}/metrics`)
  expect(response.headers.get('content-type')).toContain('text/plain')
  const lines = (await response.text()).split('\n')
  expect(lines).toEqual(
    expect.arrayContaining([
      'meshfl_round 7',
      'meshfl_site_state{site="a",state="training"} 0',
      'meshfl_site_state{site="a",state="lost"} 1',
      'meshfl_site_left_out_total{site="b"} 1',
      'meshfl_loss{phase="train"} 1.5',
      'meshfl_dice{phase="train",class="white \\"matter\\""} 0.5',
      'meshfl_dice{phase="train",class="foreground"} 0.25',
      'meshfl_site_traffic_bytes{site="a",direction="received"} 20',
      'meshfl_round_seconds_count 1',
    ]),
  )
  expect(lines.some((line) => line.startsWith('process_resident_memory_bytes '))).toBe(true)
  // Every line is a comment or a sample of the text format.
  for (const line of lines) expect(line).toMatch(/^(#.*|[a-zA-Z_:][\w:]*(\{.*\})? \S+|)$/)
})

test('the best Dice of a run that goes on is that of its log, and before the first one there is none', async () => {
  const best = async (past?: MeshflEvent[]): Promise<string[]> =>
    (await createPrometheusMetrics(past).text()).split('\n').filter((line) => /^meshfl_best/.test(line))
  expect(await best()).toEqual([])
  expect(await best([{ type: 'best', time, round: 3, foregroundDice: 0.75 } as MeshflEvent])).toEqual([
    'meshfl_best_foreground_dice 0.75',
  ])
})

test('visitors who say nothing do not keep others out for long', async () => {
  server = await startMetricsServer(createPrometheusMetrics(), { host: '127.0.0.1', port: 0 }, 200)
  const { port } = server
  const silent = Array.from({ length: MOST_CONNECTIONS }, () => connect(port, '127.0.0.1'))
  for (const socket of silent) socket.on('error', () => undefined)
  await Promise.all(silent.map((socket) => once(socket, 'connect')))
  const answers = async (): Promise<boolean> => {
    try {
      return (await fetch(`http://127.0.0.1:${port}/healthz`)).ok
    } catch {
      return false
    }
  }
  expect(await answers()).toBe(false)
  while (!(await answers())) await new Promise((resolve) => setTimeout(resolve, 20))
  for (const socket of silent) socket.destroy()
})

test('the server answers a health check, and nothing but GET', async () => {
  server = await startMetricsServer(createPrometheusMetrics(), { host: '127.0.0.1', port: 0 })
  const at = (path: string, method = 'GET') => fetch(`http://127.0.0.1:${server!.port}${path}`, { method })
  expect(await (await at('/healthz')).text()).toBe('ok\n')
  expect((await at('/other')).status).toBe(404)
  expect((await at('/metrics', 'POST')).status).toBe(405)
  await expect(startMetricsServer(createPrometheusMetrics(), server)).rejects.toMatchObject({ code: 'BIND_FAILED' })
})
