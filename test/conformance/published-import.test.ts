import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { decodeModel, type EventOf, MeshNetSpecSchema } from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import { readVolume } from '@meshfl/volume'
import { expect, test } from 'vitest'
import { cli, temporaryFolder } from '../e2e/cli.js'

/** brainchop's model5_gw_ae as it is shipped for the browser and for PyTorch: data that lies beside the repository where it is there. */
const folder = fileURLToPath(new URL('../../../shared/data/golden', import.meta.url))
const title =
  'the two forms in which brainchop ships a model are imported as one, which labels its example scan as theirs does'
/** Voxels of each class in the whole scan; in so many the two best classes differ by less than 1e-3 (the README of that data). */
const COUNTS = [15523464, 518540, 735212]
const CLOSE = 174

if (!existsSync(folder)) test.skip(`${title}: not here: ../shared/data/golden`, () => undefined)
else {
  test(title, async () => {
    const out = temporaryFolder('published')
    const spec = MeshNetSpecSchema.parse({ activation: 'relu', normalization: 'none' })
    const files = ['model5_gw_ae_tfjs', 'model5_gw_ae.safetensors-named.pth'].map(
      (name) => [join(folder, name), join(out, `${name}.safetensors`)] as const,
    )
    for (const [model, file] of files) {
      const { code, last } = await cli(['import', model, '--out', file, '--json'])
      expect(code).toBe(0)
      // The paper's network without BatchNorm.
      expect(last).toMatchObject({ type: 'model', parameters: 5598 })
    }
    const [first, second] = files.map(([, file]) => decodeModel(modelLayout(spec), readFileSync(file)).parameters)
    expect(first).toEqual(second)

    const scan = join(folder, 't1.nii.gz')
    const predict = ['predict', files[0]![1], scan, '--conform', 'none', '--out', join(out, 'labels'), '--json']
    const { code, last } = await cli(predict)
    expect(code).toBe(0)
    const { voxels } = await readVolume((last as EventOf<'prediction'>).label, { kind: 'label' })
    const counts = [0, 0, 0]
    for (const label of voxels) counts[label]! += 1
    for (const [label, count] of COUNTS.entries()) expect(Math.abs(counts[label]! - count)).toBeLessThanOrEqual(CLOSE)
  })
}
