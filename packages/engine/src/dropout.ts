import { createRandom, type MeshNetSpec } from '@meshfl/core'

/**
 * The factors of channel dropout for one training step, (volumes, blocks, channels): 0 for a dropped channel, 1 / (1 - dropout)
 * for the others. The same on every engine: each block has a stream of its own, read volume by volume.
 */
export function dropoutFactors(spec: MeshNetSpec, volumes: number, seed: number): Float32Array {
  const { channels, dilations, dropout } = spec
  const factors = new Float32Array(volumes * dilations.length * channels).fill(1)
  if (dropout === 0) return factors
  const kept = 1 / (1 - dropout)
  dilations.forEach((_, block) => {
    const random = createRandom(seed, 'dropout', block)
    for (let volume = 0; volume < volumes; volume++) {
      const first = (volume * dilations.length + block) * channels
      for (let c = 0; c < channels; c++) factors[first + c] = random.uniform() < dropout ? 0 : kept
    }
  })
  return factors
}
