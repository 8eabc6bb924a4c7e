import { type MeshflEvent, type ModelState, modelSha256, type SiteTrainer, type TrainTask } from '@meshfl/core'
import { afterEach, expect, test } from 'vitest'
import { administerSites } from './administer-sites.js'
import { sortedBySite } from './aggregate.js'
import { auditRun } from './audit.js'
import { CoordinatorStore } from './coordinator-store.js'
import { KeptUpdates } from './kept-updates.js'
import { createFakeTrainer, describeFake, LAYOUT, Loopback, randomModel, SILENT, until } from './loopback.fixture.js'
import { PatientWrites } from './patient-writes.js'
import { STRATEGIES } from './strategies/index.js'

const ROUNDS = 80
const STEPS = 5
const LEARNING_RATE = 0.1

/** Every site minimises curvature/2 |w - target|^2. */
const SITES: Record<string, { curvature: number; target: number; volumes: number }> = {
  'site-1': { curvature: 1, target: 0, volumes: 2 },
  'site-2': { curvature: 3, target: 2, volumes: 1 },
  'site-3': { curvature: 2, target: 5, volumes: 4 },
}

/** Where the gradients of site-2 and site-3, weighted by their volumes, add up to 0. */
const OPTIMUM = (1 * 3 * 2 + 4 * 2 * 5) / (1 * 3 + 4 * 2)

/** Plain gradient descent under scaffold's rule; its state is its c_i. */
function createDescent(site: string): SiteTrainer {
  const { curvature, target, volumes } = SITES[site]!
  return {
    ...createFakeTrainer(site),
    async train({ model, state, rule }: TrainTask) {
      if (rule?.kind !== 'scaffold') throw new TypeError('the rule is not scaffold’s')
      const { length } = model.parameters
      const own = state ? new Float32Array(new Uint8Array(state).buffer) : new Float32Array(length)
      const parameters = model.parameters.slice()
      const sums = new Float64Array(length)
      for (let step = 0; step < STEPS; step++) {
        for (let i = 0; i < length; i++) {
          const gradient = curvature * (parameters[i]! - target)
          sums[i]! += gradient
          parameters[i]! -= LEARNING_RATE * (gradient - own[i]! + rule.control[i]!)
        }
      }
      const vector = Float32Array.from(sums, (sum) => sum / STEPS)
      return {
        model: { parameters, statistics: model.statistics },
        samples: volumes,
        state: new Uint8Array(vector.slice().buffer),
        vector,
        metrics: { loss: 1, dice: { perClass: {}, foregroundDice: null }, seconds: 0.001 },
      }
    },
  } as SiteTrainer
}

let loopback: Loopback
afterEach(() => loopback.close())

/** Starts the coordinator; it pauses after each of these rounds. */
async function start(...pauses: number[]): Promise<void> {
  await loopback.start({
    minSites: 1,
    events(event: MeshflEvent) {
      loopback.events.push(event)
      if (event.type === 'update-applied' && pauses.includes(event.round)) loopback.coordinator.pause()
    },
  })
}

function join(site: string, internals: { at?(point: string): void } = {}): { finished: Promise<unknown> } {
  const describe = async () => describeFake(site, { trainCases: SITES[site]!.volumes })
  return loopback.join(site, { describe, createTrainer: async () => createDescent(site) }, internals)
}

const states = (site: string): string[] =>
  loopback.events.flatMap((event) => (event.type === 'site-state' && event.site === site ? [event.state] : []))

/** Until a site has come as often as this. */
const online = (site: string, occurrence = 1): Promise<void> =>
  until(() => states(site).filter((state) => state === 'online').length >= occurrence)

const finished = (round: number): Promise<void> =>
  until(() => loopback.events.some((event) => event.type === 'round-finished' && event.round === round), 30_000)

/** The server's state as the last commit has it, and as the updates that were kept make it again. */
async function serverStates(): Promise<{ committed: Uint8Array; combined: Uint8Array }> {
  const { store, saved } = await CoordinatorStore.open(loopback.run, LAYOUT, new PatientWrites(SILENT))
  await store.close()
  const kept = new KeptUpdates(loopback.run, LAYOUT)
  let begun: { model: ModelState; state: Uint8Array | null } = { model: randomModel('initial'), state: null }
  for (let round = 1; round <= ROUNDS; round++) {
    const { contributions, population } = (await kept.read(round))!
    begun = STRATEGIES.scaffold.combine({
      ...{ layout: LAYOUT, base: begun.model, state: begun.state, contributions: sortedBySite(contributions) },
      ...{ population, batchNorm: 'pooled', options: {} },
    })
  }
  const { model, state } = saved!.commits.at(-1)!
  expect(modelSha256(begun.model)).toBe(modelSha256(model))
  return { committed: state!, combined: begun.state! }
}

test('scaffold comes to the optimum of the sites that are left after a lost update, a late site, a restart and a revocation', async () => {
  const federation = { strategy: 'scaffold', keepUpdates: true, roundDeadlineSeconds: 0.5 }
  loopback = new Loopback(3, { rounds: ROUNDS, federation })
  await start(3, 8, 12)
  loopback.coordinator.pause()
  join('site-1')
  let results = 0
  const dying = join('site-2', {
    at(point) {
      if (point === 'result written' && ++results === 3) throw new Error('died')
    },
  })
  await Promise.all([online('site-1'), online('site-2')])
  loopback.coordinator.resume()

  // Its c_i of round 3 is on its disk, and the coordinator never sees the update.
  await expect(dying.finished).rejects.toThrow('died')
  await finished(3)
  expect(JSON.parse(loopback.ledgerLines()[2]!).leftOut).toMatchObject([{ site: 'site-2' }])
  const second = join('site-2')
  await online('site-2', 2)
  loopback.coordinator.resume()

  await finished(8)
  const third = join('site-3')
  await online('site-3')
  loopback.coordinator.resume()

  await finished(12)
  await loopback.coordinator.stop()
  await start(20)
  await finished(20)
  await Promise.all([online('site-1', 2), online('site-2', 3), online('site-3', 2)])
  await administerSites(loopback.run, { action: 'revoke', site: 'site-1' })
  loopback.coordinator.resume()

  const [{ model }] = await Promise.all([loopback.coordinator.finished, second.finished, third.finished])
  for (const value of model.parameters) expect(Math.abs(value - OPTIMUM)).toBeLessThan(1e-4)

  const audited = { folder: loopback.run, study: loopback.study, layout: LAYOUT, initialModel: randomModel('initial') }
  expect(await auditRun(audited)).toMatchObject({ ok: true, rounds: ROUNDS, replayed: ROUNDS })
  const { committed, combined } = await serverStates()
  expect(Buffer.compare(committed, combined)).toBe(0)
}, 60_000)
