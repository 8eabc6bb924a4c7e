import { MeshNetSpecSchema } from '@meshfl/core'
import { initializeModel } from './initialize.js'

/** A model, a grid and a batch that every engine computes in milliseconds. */
export const spec = MeshNetSpecSchema.parse({ channels: 3, dilations: [1, 2, 1] })
export const grid = { depth: 5, height: 6, width: 7 }
export const voxels = 5 * 6 * 7
export const model = initializeModel(spec, 1)
export const batch = { images: Uint8Array.from({ length: voxels }, (_, i) => (i * 91) % 256), count: 1 }
export const labels = Uint8Array.from({ length: voxels }, (_, i) => i % 3)
export const loss = { classWeights: [0.2, 1, 0.8], labelSmoothing: 0.01 }
