import type { Random } from '@meshfl/core'
import { type Field, randomWaves, sampleField, sharedField, smoothField } from './random-field.js'
import { type Ellipsoid, ellipsoidDistance, smoothMax, smoothMin } from './shapes.js'
import { Tissue } from './tissue.js'

const HEMISPHERES: Ellipsoid = { x: 0, y: -2, z: 8, rx: 67, ry: 84, rz: 61 }
const TEMPORAL_LOBE: Ellipsoid = { x: 41, y: 6, z: -25, rx: 23, ry: 42, rz: 20 }
/** Towards it the sulci point; radii as the half of `HEMISPHERES`. */
const HEMISPHERE: Ellipsoid = { x: 31, y: -2, z: 6, rx: 36, ry: 84, rz: 58 }

/** Tissue of a point outside the deep core, `depth` millimetres inside the hull. */
export type Cortex = (x: number, y: number, z: number, depth: number) => Tissue

/** Hull of both hemispheres: an ellipsoid cut flat below, with the temporal lobes under it. */
export const cerebrumHull = sharedField((x, y, z) => {
  const upper = smoothMax(ellipsoidDistance(HEMISPHERES, x, y, z), -20 - z, 14)
  return smoothMin(upper, ellipsoidDistance(TEMPORAL_LOBE, Math.abs(x), y, z), 5)
})

/**
 * Two folded hemispheres. The sulci are the sheets where a random-wave field is zero (its level set is a labyrinth of even
 * spacing, as gyrification is); the field is constant along rays from the hemisphere's middle, so the sheets run inward from the
 * hull and end at the sulcal depth. Distance to the nearer of hull, midline and sheet gives fluid, a grey ribbon of even
 * thickness, and white matter within: the equidistant layers of a cortical model (Fischl and Dale 2000).
 */
export function createCortex(random: Random): Cortex {
  const wavelength = 46 + 6 * random.uniform()
  const thickness = 4 + 0.5 * random.uniform()
  const halfGap = 0.7 + 0.6 * random.uniform()
  const meanDepth = 14 + 3 * random.uniform()
  const midline = 1.2 + 0.8 * random.uniform()
  const folds = [foldDistance(random, wavelength), foldDistance(random, wavelength)] as const
  const variation = smoothField(random, 60)
  return (x, y, z, hullDepth) => {
    const side = Math.abs(x)
    const depth = Math.min(hullDepth, side - midline)
    if (depth < 0) return Tissue.fluid
    const lateral = folds[x < 0 ? 0 : 1](side, y, z)
    const wander = variation(x, y, z)
    const below = Math.max(depth - meanDepth - 3 * wander, 0)
    const sheet = Math.sqrt(lateral * lateral + below * below) - halfGap
    if (sheet < 0) return Tissue.fluid
    const ribbon = thickness * (1 + 0.12 * wander)
    return Math.min(depth, sheet) < ribbon ? Tissue.greyMatter : Tissue.whiteMatter
  }
}

/**
 * Signed distance to the sulcal sheets of one hemisphere, in coordinates with the midline at x = 0: the field over the length of
 * its gradient, which is held off zero so that a saddle of the field makes no hole.
 */
function foldDistance(random: Random, wavelength: number): Field {
  const waves = randomWaves(random, wavelength, 32)
  const { x: cx, y: cy, z: cz, rx, ry, rz } = HEMISPHERE
  const field = sampleField({ from: [-8, -96, -56], to: [80, 92, 80], step: 4 }, (x, y, z) => {
    const scale = Math.max(Math.hypot((x - cx) / rx, (y - cy) / ry, (z - cz) / rz), 0.3)
    return waves(cx + (x - cx) / scale, cy + (y - cy) / scale, cz + (z - cz) / scale)
  })
  const flattest = (0.3 * 2 * Math.PI) / wavelength
  return sampleField({ from: [0, -92, -52], to: [76, 88, 76], step: 4 }, (x, y, z) => {
    const dx = (field(x + 4, y, z) - field(x - 4, y, z)) / 8
    const dy = (field(x, y + 4, z) - field(x, y - 4, z)) / 8
    const dz = (field(x, y, z + 4) - field(x, y, z - 4)) / 8
    return field(x, y, z) / Math.hypot(dx, dy, dz, flattest)
  })
}
