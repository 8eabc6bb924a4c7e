import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { MeshNetSpecSchema, type ModelState } from '@meshfl/core'

const folder = fileURLToPath(new URL('../../../fixtures/torch', import.meta.url))

/** The bytes of a file of fixtures/torch. */
export const torchFixture = (name: string): Uint8Array => Uint8Array.from(readFileSync(`${folder}/${name}`))

const raw = JSON.parse(readFileSync(`${folder}/expected.json`, 'utf8'))
const floats = (base64: string): Float32Array => new Float32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer)

/** What fixtures/torch/make_torch.py wrote of the network in all of its files. */
export const golden = {
  spec: MeshNetSpecSchema.parse(raw.spec),
  state: { parameters: floats(raw.parameters), statistics: floats(raw.statistics) } as ModelState,
  grid: raw.grid as { depth: number; height: number; width: number },
  image: floats(raw.image),
  logits: { zyx: floats(raw.logits.zyx), xyz: floats(raw.logits.xyz) },
}
