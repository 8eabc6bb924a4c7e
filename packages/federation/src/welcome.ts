import { canonicalJson, elementCount, MeshflError, type ModelLayout, type Study, sha256 } from '@meshfl/core'
import { z } from 'zod'
import { decodeJsonBody, type Message, ProtocolError } from './frame.js'
import { LayoutBodySchema, StudyBodySchema } from './messages.js'

/** What a coordinator says when it lets a site in. */
export interface Welcome {
  run: string
  study: Study
  layout: ModelLayout
}

/** The last one, and what it was read from: the sites of one process are welcomed to one study, and hold it once. */
let last: { bodies: readonly Uint8Array[]; study: string; welcome: Welcome } | undefined

/**
 * Reads a WELCOME whose signature or code was right.
 * @throws ProtocolError where study or layout are not those of the header's hashes
 * @throws MeshflError `FEDERATION_VERSION` where the study has what this version does not understand
 */
export function readWelcome({ header, bodies }: Message<'WELCOME'>): Welcome {
  const isLast =
    last?.study === header.study &&
    last.welcome.layout.sha256 === header.layout &&
    last.bodies.length === bodies.length &&
    last.bodies.every((body, i) => Buffer.compare(body, bodies[i]!) === 0)
  if (isLast) return { ...last!.welcome, run: header.run }
  // Hashed as it came: a study of another version may leave out a key that this one fills in.
  const said = decodeJsonBody(z.unknown(), bodies[0]!)
  const found = sha256(canonicalJson(said))
  if (found !== header.study)
    throw new ProtocolError(`the study’s hash is ${found}, the coordinator says ${header.study}`)
  const study = StudyBodySchema.safeParse(said)
  if (!study.success) {
    const words = z.prettifyError(study.error).slice(0, 300)
    throw new MeshflError('FEDERATION_VERSION', `this version of meshfl does not understand the study: ${words}`, {
      hint: 'use the version of meshfl that the coordinator uses',
    })
  }
  const tensors = decodeJsonBody(LayoutBodySchema, bodies[1]!)
  const layoutSha256 = sha256(canonicalJson(tensors))
  if (layoutSha256 !== header.layout)
    throw new ProtocolError(`the layout’s hash is ${layoutSha256}, the coordinator says ${header.layout}`)
  const count = (entries: typeof tensors.parameters): number =>
    entries.reduce((sum, { shape }) => sum + elementCount(shape), 0)
  const layout = {
    ...tensors,
    parameterCount: count(tensors.parameters),
    statisticCount: count(tensors.statistics),
    sha256: layoutSha256,
  }
  const welcome = { run: header.run, study: study.data, layout }
  last = { bodies: bodies.map((body) => body.slice()), study: header.study, welcome }
  return welcome
}
