import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createRandom,
  type MeshflEvent,
  type ModelState,
  modelSha256,
  type Study,
  StudySchema,
  studySha256,
} from '@meshfl/core'
import { type Engine, initializeModel, modelLayout, openEngine, type Step } from '@meshfl/engine'
import { type Coordinator, joinFederation, startCoordinator } from '@meshfl/federation'
import { createTinyDataset, type TinyDataset } from '@meshfl/testkit'
import {
  adamStep,
  createAdamState,
  createStepOptimizer,
  LocalTrainer,
  oneCycle,
  updateRunningStatistics,
} from '@meshfl/training'
import { afterAll, expect, test } from 'vitest'

const grid = { depth: 8, height: 9, width: 21 }
const folders: string[] = []
const engine = await openEngine({ device: 'wasm' })
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

interface Site {
  name: string
  data: TinyDataset
}

function makeSites(volumes: readonly number[]): Site[] {
  return volumes.map((train, i) => ({
    name: `site-${i + 1}`,
    data: createTinyDataset({ seed: 10 + i, train, valid: 1, grid }),
  }))
}

function makeStudy(sites: number): Study {
  return StudySchema.parse({
    seed: 3,
    rounds: 3,
    model: { dilations: [1, 2, 4], channels: 4 },
    recipe: { maxLearningRate: 0.05 },
    federation: { sites, sync: 'step' },
  })
}

async function openTrainer(study: Study, { name, data }: Site, on: Engine): Promise<LocalTrainer> {
  const { model: spec, recipe, seed, classNames } = study
  const session = await on.createSession(spec, data.grid, { threads: 1 })
  return new LocalTrainer({ session, spec, recipe, seed, site: name, classNames, ...data })
}

/**
 * One machine with all sites' volumes. A step goes over one volume of each site that has one left, adds up the gradients, each a mean
 * over its volume, and takes one Adam step with their mean; BatchNorm's running statistics see all voxels of the step at once.
 */
async function accumulate(study: Study, sites: readonly Site[]): Promise<ModelState> {
  const { model: spec, recipe, seed, rounds } = study
  const layout = modelLayout(spec)
  const session = await engine.createSession(spec, grid, { threads: 1 })
  const loss = { classWeights: recipe.classWeights, labelSmoothing: recipe.labelSmoothing }
  const model = initializeModel(spec, seed)
  const adam = createAdamState(layout.parameterCount)
  const steps = Math.max(...sites.map(({ data }) => data.trainCases.length))
  for (let position = 0; position < rounds * steps; position++) {
    const [round, index] = [Math.floor(position / steps) + 1, position % steps]
    const found: Step[] = []
    for (const { name, data } of sites) {
      const item = createRandom(seed, 'shuffle', round, 0, name).shuffle(data.trainCases)[index]
      if (!item) continue
      const { image, label } = await data.loadCase(item)
      found.push(await session.forwardBackward(model, { images: image, count: 1 }, label, loss, { seed: 0 }))
    }
    const K = found.length
    const gradient = Float32Array.from(
      { length: layout.parameterCount },
      (_, i) => found.reduce((sum, one) => sum + one.gradients[i]!, 0) / K,
    )
    const statistics = new Float32Array(layout.statisticCount)
    for (let block = 0; block < layout.statistics.length; block += 2) {
      const [means, variances] = [layout.statistics[block]!, layout.statistics[block + 1]!]
      for (let c = 0; c < spec.channels; c++) {
        const of = found.map(({ batchStatistics: s }) => [s[means.offset + c]!, s[variances.offset + c]!] as const)
        // All volumes have as many voxels; these are the weights.
        const n = grid.depth * grid.height * grid.width
        const mean = of.reduce((sum, [m]) => sum + n * m, 0) / (n * K)
        statistics[means.offset + c] = mean
        statistics[variances.offset + c] =
          of.reduce((sum, [m, v]) => sum + n * (v + (m - mean) * (m - mean)), 0) / (n * K)
      }
    }
    adamStep(model.parameters, gradient, adam, { ...recipe, ...oneCycle(position, rounds * steps, recipe) })
    const voxels = K * grid.depth * grid.height * grid.width
    updateRunningStatistics(layout, model.statistics, statistics, voxels)
  }
  session.dispose()
  return model
}

class Federation {
  readonly folder = mkdtempSync(join(tmpdir(), 'meshfl-sync-step-'))
  readonly events: MeshflEvent[] = []
  readonly #stop = new AbortController()
  #invites: string[] = []

  constructor(
    readonly study: Study,
    readonly sites: readonly Site[],
  ) {
    folders.push(this.folder)
  }

  async start(at?: (point: string) => void): Promise<Coordinator> {
    const { study } = this
    const coordinator = await startCoordinator(
      {
        folder: join(this.folder, 'run'),
        bind: 'tcp://127.0.0.1:*',
        study,
        studySha256: studySha256(study),
        layout: modelLayout(study.model),
        initialModel: initializeModel(study.model, study.seed),
        stepOptimizer: createStepOptimizer(study.model, study.recipe),
        sites: this.sites.length,
        approve: async () => true,
        events: (event) => this.events.push(event),
        signal: this.#stop.signal,
      },
      at ? { at } : {},
    )
    this.#invites = coordinator.invites.map(({ invite }) => invite)
    return coordinator
  }

  join(site: Site, invite = this.#invites.shift()!, at?: (point: string) => void) {
    const { study } = this
    const { trainCases, validCases } = site.data
    return joinFederation(
      {
        invite,
        folder: join(this.folder, site.name),
        describe: async () => ({
          site: site.name,
          trainCases: trainCases.length,
          validCases: validCases.length,
          classes: 3,
          classNames: study.classNames,
          labelMap: 'gw3',
          voxelSizeMm: 1,
          conform: { mode: 'freesurfer', shape: [grid.width, grid.height, grid.depth] },
          engine: 'wasm',
          instructionSet: engine.device.instructionSet,
          precision: 'fp32',
        }),
        createTrainer: () => openTrainer(study, site, engine),
        events: () => undefined,
        signal: this.#stop.signal,
      },
      at ? { at } : {},
    )
  }
}

test.each([[[3]], [[3, 3]], [[2, 2, 2]], [[3, 1, 2]]])(
  'with --sync step sites of %j volumes equal one machine that accumulates over the same, bit for bit',
  async (volumes) => {
    const sites = makeSites(volumes)
    const study = makeStudy(sites.length)
    const federation = new Federation(study, sites)
    const coordinator = await federation.start()
    const [result] = await Promise.all([coordinator.finished, ...sites.map((site) => federation.join(site))])
    const expected = await accumulate(study, sites)
    expect(result.parametersSha256).toBe(modelSha256(expected))
    expect(result.rounds).toBe(3)
    const finished = federation.events.filter((event) => event.type === 'round-finished')
    expect(finished.map(({ round, rounds }) => [round, rounds])).toEqual([
      [1, 3],
      [2, 3],
      [3, 3],
    ])
    const steps = federation.events.filter((event) => event.type === 'step')
    expect(steps).toHaveLength(3 * volumes.reduce((sum, n) => sum + n, 0))
  },
)

test('one site with --sync step is a federation of one with weights every round, bit for bit', async () => {
  const [site] = makeSites([3]) as [Site]
  const study = makeStudy(1)
  const trainer = await openTrainer(study, site, engine)
  let model = initializeModel(study.model, study.seed)
  let state: Uint8Array | null = null
  for (let round = 1; round <= 3; round++) {
    const signal = new AbortController().signal
    const outcome = await trainer.train({ round, rounds: 3, model, state, signal, onStep: () => undefined })
    model = outcome.model
    state = outcome.state
  }
  expect(modelSha256(await accumulate(study, [site]))).toBe(modelSha256(model))
})

test('killed in the middle of a round, coordinator or site, it ends with the same model', async () => {
  const sites = makeSites([3, 1])
  const study = makeStudy(2)
  const expected = modelSha256(await accumulate(study, sites))
  const crashAt = (point: string, occurrence: number) => {
    let seen = 0
    return (reached: string): void => {
      if (reached === point && ++seen === occurrence) throw new Error(`crash at ${point}`)
    }
  }
  for (const [point, occurrence] of [
    ['commit written', 2],
    ['before commit', 5],
  ] as const) {
    const federation = new Federation(study, sites)
    const first = await federation.start(crashAt(point, occurrence))
    const joined = sites.map((site) => federation.join(site))
    await expect(first.finished).rejects.toThrow(`crash at ${point}`)
    await first.stop()
    const second = await federation.start()
    const [result] = await Promise.all([second.finished, ...joined])
    expect(result.parametersSha256).toBe(expected)
  }
  const federation = new Federation(study, sites)
  const running = await federation.start()
  const [invite] = running.invites.map((one) => one.invite)
  const other = federation.join(sites[1]!, running.invites[1]!.invite)
  await expect(federation.join(sites[0]!, invite, crashAt('result written', 2))).rejects.toThrow('crash at')
  const [result] = await Promise.all([running.finished, federation.join(sites[0]!, invite), other])
  expect(result.parametersSha256).toBe(expected)
})
