import { type Dice, type EventSink, type MeshflEvent, SITE_STATES } from '@meshfl/core'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

/** A run's figures in the text format that Prometheus reads. */
export interface PrometheusMetrics {
  events: EventSink
  contentType: string
  text(): Promise<string>
}

/**
 * Metrics of one run, and of this process (memory, processor time, delay of the event loop).
 * @param past what the run's log holds already: of that the best Dice counts
 */
export function createPrometheusMetrics(past: readonly MeshflEvent[] = []): PrometheusMetrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const gauge = <T extends string>(name: string, help: string, labelNames: readonly T[] = []): Gauge<T> =>
    new Gauge({ name: `meshfl_${name}`, help, labelNames, registers })
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[] = []): Counter<T> =>
    new Counter({ name: `meshfl_${name}`, help, labelNames, registers })

  const info = gauge('run_info', 'Always 1; its labels name the run.', ['run', 'command'])
  const rounds = gauge('rounds', 'Rounds that the run will have.')
  const round = gauge('round', 'The last round that was committed.')
  const loss = gauge('loss', 'Mean loss of the last round.', ['phase'])
  const dice = gauge('dice', 'Dice of the last round by class; class "foreground" is the mean without background.', [
    'phase',
    'class',
  ])
  // No sample before there is one: 0 would be a bad Dice.
  const best = gauge('best_foreground_dice', 'Largest validation foreground Dice so far.')
  best.remove()
  const roundSeconds = new Histogram({
    name: 'meshfl_round_seconds',
    help: 'Time of a round.',
    buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000],
    registers,
  })
  const state = gauge('site_state', '1 for the state that the site is in, 0 for the others.', ['site', 'state'])
  const siteLoss = gauge('site_loss', 'Mean loss of the site’s last round.', ['site', 'phase'])
  const siteDice = gauge('site_foreground_dice', 'Foreground Dice of the site’s last round.', ['site', 'phase'])
  const trainSeconds = gauge('site_train_seconds', 'Time of the site’s last training.', ['site'])
  const leftOut = counter('site_left_out_total', 'Rounds that were committed without the site.', ['site'])
  const traffic = gauge('site_traffic_bytes', 'Bytes of messages since this process started.', ['site', 'direction'])
  const warnings = counter('log_messages_total', 'Log messages by level.', ['level'])

  const setDice = (phase: string, found: Dice | null): void => {
    if (!found) return
    for (const [name, value] of Object.entries({ ...found.perClass, foreground: found.foregroundDice })) {
      if (value !== null) dice.set({ phase, class: name }, value)
    }
  }
  const events = (event: MeshflEvent): void => {
    switch (event.type) {
      case 'run-started':
        info.set({ run: event.run, command: event.command }, 1)
        rounds.set(event.rounds)
        if (event.resumedAtRound !== undefined) round.set(event.resumedAtRound)
        break
      case 'site-state':
        for (const name of SITE_STATES) state.set({ site: event.site, state: name }, Number(name === event.state))
        break
      case 'site-trained':
        if (event.loss !== null) siteLoss.set({ site: event.site, phase: 'train' }, event.loss)
        if (event.dice.foregroundDice !== null)
          siteDice.set({ site: event.site, phase: 'train' }, event.dice.foregroundDice)
        trainSeconds.set({ site: event.site }, event.seconds)
        break
      case 'site-evaluated':
        if (event.loss !== null) siteLoss.set({ site: event.site, phase: 'valid' }, event.loss)
        if (event.dice.foregroundDice !== null)
          siteDice.set({ site: event.site, phase: 'valid' }, event.dice.foregroundDice)
        break
      case 'update-applied':
        round.set(event.round)
        for (const { site } of event.leftOut) leftOut.inc({ site })
        break
      case 'round-finished':
        roundSeconds.observe(event.seconds)
        if (event.trainLoss !== null) loss.set({ phase: 'train' }, event.trainLoss)
        if (event.validLoss !== null) loss.set({ phase: 'valid' }, event.validLoss)
        setDice('train', event.trainDice)
        setDice('valid', event.validDice)
        break
      case 'best':
        best.set(event.foregroundDice)
        break
      case 'traffic':
        traffic.set({ site: event.site, direction: 'sent' }, event.bytesSent)
        traffic.set({ site: event.site, direction: 'received' }, event.bytesReceived)
        break
      case 'log':
        warnings.inc({ level: event.level })
        break
      default: // the others carry no figure
    }
  }
  for (const event of past) if (event.type === 'best') events(event)
  return { events, contentType: registry.contentType, text: () => registry.metrics() }
}
