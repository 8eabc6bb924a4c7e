import { createRandom } from '@meshfl/core'
import type { Grid } from '@meshfl/engine'

/** A case as the dataset's manifest describes it, of volumes that are only in memory. */
export interface TinyCase {
  id: string
  subject: string
  split: 'train' | 'valid'
  image: string
  label: string
  imageSha256: string
  labelSha256: string
  source: { image: string; label: string; shape: [number, number, number]; affine: number[] }
  voxels: number[]
  columns: Record<string, string>
}

export interface TinyDataset {
  grid: Grid
  trainCases: TinyCase[]
  validCases: TinyCase[]
  loadCase(item: { id: string }): Promise<{ image: Uint8Array; label: Uint8Array }>
}

/**
 * Cases that a small network learns in a few steps: labels in thick slanted bands, intensities that follow them under noise. The same
 * seed gives the same voxels.
 */
export function createTinyDataset(options: {
  seed: number
  train: number
  valid: number
  grid?: Grid
  classes?: number
}): TinyDataset {
  const { seed, grid = { depth: 5, height: 6, width: 7 }, classes = 3 } = options
  const describe = (split: TinyCase['split'], index: number): TinyCase => ({
    id: `${split}-${index}`,
    subject: `${split}-${index}`,
    split,
    image: '',
    label: '',
    imageSha256: '',
    labelSha256: '',
    source: { image: '', label: '', shape: [grid.width, grid.height, grid.depth], affine: [] },
    voxels: [],
    columns: {},
  })
  return {
    grid,
    trainCases: Array.from({ length: options.train }, (_, i) => describe('train', i)),
    validCases: Array.from({ length: options.valid }, (_, i) => describe('valid', i)),
    async loadCase({ id }) {
      const random = createRandom(seed, 'tiny', id)
      const shift = random.integer(15)
      const label = new Uint8Array(grid.depth * grid.height * grid.width)
      for (let i = 0; i < label.length; i++) {
        const x = i % grid.width
        const y = Math.floor(i / grid.width) % grid.height
        const z = Math.floor(i / grid.width / grid.height)
        label[i] = Math.floor((x + 2 * y + 3 * z + shift) / 5) % classes
      }
      const image = label.map((value) => 30 + value * Math.floor(180 / classes) + random.integer(40))
      return { image, label }
    },
  }
}
