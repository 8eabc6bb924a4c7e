import { existsSync, readFileSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  bytesOf,
  decodeModel,
  decodeSafetensors,
  encodeModel,
  MeshflError,
  type ModelLayout,
  type ModelState,
  type NamedTensor,
  removeTemporaryFiles,
  type Study,
  safetensorsParts,
  writeFileAtomic,
} from '@meshfl/core'
import { z } from 'zod'
import type { FederationResult } from './coordinator.js'
import { LayoutBodySchema, TrainMetricsSchema } from './messages.js'
import type { PatientWrites } from './patient-writes.js'
import type { SiteRounds } from './site-rounds.js'
import { type DataKeys, runMetadata } from './study-of-sites.js'
import { modelTensor, readModelTensor } from './update-tensors.js'
import { floatsOf, VECTOR, vectorTensor } from './vector-tensor.js'

const OWN_PARAMETERS = 'own.before.parameters'
const OWN_STATISTICS = 'own.before.statistics'

const MembershipSchema = z.strictObject({
  format: z.literal('meshfl-membership/2'),
  /** Both keys of the coordinator, base64url. */
  curvePublic: z.string(),
  signingPublic: z.string(),
  run: z.string(),
  site: z.string(),
  /** The file of the keys that were approved, beside this one. */
  keys: z.string().regex(/^[\w-]+\.json$/),
  /** Ids of the invites that it came with. */
  invites: z.array(z.string()),
})
export type Membership = z.infer<typeof MembershipSchema>

const ResultSchema = z.strictObject({
  run: z.string(),
  round: z.int().min(1),
  base: z.string(),
  update: z.string(),
  vectorSha256: z.string().optional(),
  samples: z.int().min(1),
  metrics: TrainMetricsSchema,
})
const FinishedSchema = z.strictObject({
  layout: LayoutBodySchema.extend({ parameterCount: z.int(), statisticCount: z.int(), sha256: z.string() }),
  run: z.string(),
  rounds: z.int(),
  parametersSha256: z.string(),
  best: z.strictObject({ round: z.int(), foregroundDice: z.number() }).nullable(),
})

/** What a site keeps of its last round: one file, so that result and optimiser are always of the same round. */
export interface SavedRound extends z.infer<typeof ResultSchema> {
  model: ModelState
  /** What the strategy asked for beside the update. */
  vector?: Float32Array
  /** The site's own model of the round before; null where it keeps nothing of its own, or in the first round. */
  ownBefore: ModelState | null
  /** The optimiser that the round began with (null in the first), and the one that it ended with. */
  stateBefore: Uint8Array | null
  stateAfter: Uint8Array
}

/** A site's state folder: keys (0600), membership, its last round (state/round), the final model, and its own where it has one. */
export class SiteStore {
  readonly #folder: string
  readonly #patience: PatientWrites
  readonly #rounds: SiteRounds

  constructor(folder: string, patience: PatientWrites, rounds: SiteRounds) {
    this.#folder = folder
    this.#patience = patience
    this.#rounds = rounds
  }

  /** Removes what a crash left half-written. */
  async sweep(): Promise<void> {
    for (const name of ['.', 'keys', 'state']) await removeTemporaryFiles(join(this.#folder, name))
  }

  keysPath(name: string): string {
    return join(this.#folder, 'keys', name)
  }

  /** Whose site this is; null before it was approved. @throws MeshflError `SITE_STATE_INVALID` */
  readMembership(): Membership | null {
    const path = this.#membershipPath
    if (!existsSync(path)) return null
    try {
      return MembershipSchema.parse(JSON.parse(readFileSync(path, 'utf8')))
    } catch (error) {
      throw invalid(path, error)
    }
  }

  /** From here on the site goes by the keys that this names; those before them are worth nothing, and removed. */
  async writeMembership(membership: Membership): Promise<void> {
    const before = this.readMembership()
    const text = `${JSON.stringify(membership, null, 2)}\n`
    await this.#patience.run(this.#membershipPath, () => writeFileAtomic(this.#membershipPath, text, { mode: 0o600 }))
    if (before && before.keys !== membership.keys) await rm(this.keysPath(before.keys), { force: true })
  }

  /** The last round that was trained in this run, or null. @throws MeshflError `SITE_STATE_INVALID` */
  async readRound(run: string, layout: ModelLayout): Promise<SavedRound | null> {
    const path = join(this.#folder, 'state', 'round')
    const bytes = await this.#rounds.read()
    if (!bytes) return null
    try {
      const { tensors, metadata } = decodeSafetensors(bytes, path)
      const result = ResultSchema.parse(JSON.parse(metadata.result ?? ''))
      if (result.run !== run) return null
      const model = readModelTensor(layout, tensors)
      const tensor = (name: string): Uint8Array | null =>
        tensors.find((item) => item.name === name)?.data.slice() ?? null
      const stateAfter = tensor('state.after')
      if (!stateAfter) throw new Error('it has no optimiser')
      const floats = (name: string): Float32Array | null => {
        const data = tensor(name)
        return data && floatsOf(data)
      }
      const vector = floats(VECTOR)
      const own = { parameters: floats(OWN_PARAMETERS), statistics: floats(OWN_STATISTICS) }
      return {
        ...result,
        model,
        ...(vector ? { vector } : {}),
        ownBefore: own.parameters && own.statistics ? (own as ModelState) : null,
        stateBefore: tensor('state.before'),
        stateAfter,
      }
    } catch (error) {
      throw invalid(path, error)
    }
  }

  /** Keeps a round in place of the one before; when it resolves, it is on disk. */
  async writeRound(round: SavedRound): Promise<void> {
    const { model, vector, ownBefore, stateBefore, stateAfter, ...result } = round
    const opaque = (name: string, data: Uint8Array): NamedTensor => ({ name, dtype: 'U8', shape: [data.length], data })
    const floats = (name: string, values: Float32Array): NamedTensor => ({
      ...{ name, dtype: 'F32', shape: [values.length], data: bytesOf(values) },
    })
    const extra = [
      ...(vector ? [vectorTensor(vector)] : []),
      ...(ownBefore
        ? [floats(OWN_PARAMETERS, ownBefore.parameters), floats(OWN_STATISTICS, ownBefore.statistics)]
        : []),
      ...(stateBefore ? [opaque('state.before', stateBefore)] : []),
      opaque('state.after', stateAfter),
    ]
    const tensors = [modelTensor(model), ...extra]
    await this.#rounds.write(() => safetensorsParts({ tensors, metadata: { result: JSON.stringify(result) } }))
  }

  /** Takes nothing more; resolves when what was taken is on disk, or cannot be. */
  async close(): Promise<void> {
    await this.#rounds.close()
  }

  /** The final model, where this run has ended already. */
  async readFinished(run: string): Promise<FederationResult | null> {
    if (!existsSync(this.#modelPath)) return null
    try {
      const bytes = await readFile(this.#modelPath)
      const { metadata } = decodeSafetensors(bytes, this.#modelPath)
      const finished = FinishedSchema.parse(JSON.parse(metadata['meshfl.finished'] ?? ''))
      if (finished.run !== run) return null
      const { rounds, parametersSha256, best, layout } = finished
      const { parameters, statistics } = decodeModel(layout, bytes, this.#modelPath)
      return { rounds, parametersSha256, best, model: { parameters, statistics } }
    } catch (error) {
      throw invalid(this.#modelPath, error)
    }
  }

  async writeFinished(
    { run, study, layout }: { run: string; study: Study; layout: ModelLayout },
    keys: DataKeys,
    result: FederationResult,
  ): Promise<void> {
    const { model, rounds, parametersSha256, best } = result
    const finished: z.infer<typeof FinishedSchema> = {
      run,
      rounds,
      parametersSha256,
      best,
      layout: {
        parameters: layout.parameters.map((entry) => ({ ...entry, shape: [...entry.shape] })),
        statistics: layout.statistics.map((entry) => ({ ...entry, shape: [...entry.shape] })),
        parameterCount: layout.parameterCount,
        statisticCount: layout.statisticCount,
        sha256: layout.sha256,
      },
    }
    const metadata = { ...runMetadata(study, keys, rounds), 'meshfl.finished': JSON.stringify(finished) }
    const bytes = encodeModel(layout, model, metadata)
    await this.#patience.run(this.#modelPath, () => writeFileAtomic(this.#modelPath, bytes))
  }

  /** The global model with the site's own part in it: what this site scores with. */
  async writeOwnModel(
    { study, layout }: { study: Study; layout: ModelLayout },
    keys: DataKeys,
    rounds: number,
    model: ModelState,
  ): Promise<void> {
    const path = join(this.#folder, 'own.safetensors')
    const bytes = encodeModel(layout, model, runMetadata(study, keys, rounds))
    await this.#patience.run(path, () => writeFileAtomic(path, bytes, { mode: 0o600 }))
  }

  get #membershipPath(): string {
    return join(this.#folder, 'keys', 'membership.json')
  }

  get #modelPath(): string {
    return join(this.#folder, 'model.safetensors')
  }
}

function invalid(path: string, error: unknown): MeshflError {
  return new MeshflError('SITE_STATE_INVALID', `${path} cannot be read: ${(error as Error).message}`, {
    hint: 'restore the folder from a backup, or join again with a new invite and an empty --out',
    data: { path },
    cause: error,
  })
}
