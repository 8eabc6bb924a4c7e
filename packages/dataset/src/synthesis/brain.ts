import type { Random } from '@meshfl/core'
import { cerebrumHull, createCortex } from './cerebrum.js'
import { type Field, sharedField, smoothField } from './random-field.js'
import { type Ellipsoid, ellipsoidDistance, smoothMin } from './shapes.js'
import { Tissue } from './tissue.js'

const CORE: Ellipsoid = { x: 0, y: -3, z: 5, rx: 32, ry: 43, rz: 20 }
const CEREBELLUM: Ellipsoid = { x: 0, y: -55, z: -42, rx: 50, ry: 29, rz: 24 }
const STEM_TOP = -8
/** Below it the stem is counted as cord: background. */
const STEM_END = -64

/** Signed distance to a smooth surface around the whole brain, negative inside; millimetres. */
export const brainDistance = sharedField((x, y, z) => {
  const upper = Math.min(cerebrumHull()(x, y, z), ellipsoidDistance(CORE, x, y, z))
  const lower = smoothMin(ellipsoidDistance(CEREBELLUM, x, y, z), stemDistance(x, y, z), 10)
  return smoothMin(upper, lower, 14)
})

/**
 * Cerebrum, deep nuclei and ventricles, cerebellum and stem, in the coordinates of an average head (RAS, millimetres): the tissue
 * of a point in or near the brain, fluid where there is no brain.
 */
export function createBrain(random: Random): (x: number, y: number, z: number) => Tissue {
  const cortex = createCortex(random)
  const hullAt = cerebrumHull()
  const jitter = (value: number, spread: number): number => value * (1 + spread * (2 * random.uniform() - 1))
  const wide = 0.75 + 0.8 * random.uniform()
  const ventricles = nearest([
    { x: 9, y: 12, z: 10, rx: 5 * wide, ry: jitter(20, 0.1), rz: 6 * wide },
    { x: 14, y: -22, z: 11, rx: 6 * wide, ry: jitter(20, 0.1), rz: 6 * wide },
    { x: 0, y: -6, z: -3, rx: 2.2 * wide, ry: 13, rz: 9 },
  ])
  const size = jitter(1, 0.08)
  const nuclei = nearest([
    { x: 12, y: -15, z: 0, rx: 9.5 * size, ry: 15 * size, rz: 9 * size },
    { x: 25, y: 4, z: -1, rx: 5.5 * size, ry: 17 * size, rz: 11 * size },
    { x: 15, y: 18, z: 7, rx: 5 * size, ry: 12 * size, rz: 8 * size },
  ])
  const hippocampus = nearest([{ x: 25, y: -14, z: -20, rx: 7 * size, ry: 19 * size, rz: 6 * size }])
  const folia = smoothField(random, 20)
  const cerebellarCortex = jitter(7, 0.15)

  return (x, y, z) => {
    const side = Math.abs(x)
    if (ellipsoidDistance(CORE, x, y, z) < 0) {
      if (ventricles(side, y, z) < 0) return Tissue.fluid
      return nuclei(side, y, z) < 0 ? Tissue.deepGrey : Tissue.whiteMatter
    }
    if (z < STEM_TOP && stemDistance(x, y, z) < 0) return z > STEM_END ? Tissue.whiteMatter : Tissue.cord
    const hull = hullAt(x, y, z)
    if (hull < 0) return hippocampus(side, y, z) < 0 ? Tissue.deepGrey : cortex(x, y, z, -hull)
    if (hull < 2) return Tissue.fluid
    const depth = -ellipsoidDistance(CEREBELLUM, x, y, z)
    if (depth < 0) return Tissue.fluid
    return depth < cerebellarCortex + 3.5 * folia(x, y, z) ? Tissue.greyMatter : Tissue.whiteMatter
  }
}

/** A tapering cylinder from the thalami down and back. */
function stemDistance(x: number, y: number, z: number): number {
  const down = STEM_TOP - z
  const middle = -14 - 0.26 * down
  const radius = 13 - 0.07 * down
  const back = y - middle
  return Math.max(Math.sqrt(0.7 * x * x + back * back) - radius, -down)
}

/** Distance to the nearest of several ellipsoids. */
function nearest(shapes: readonly Ellipsoid[]): Field {
  return (x, y, z) => {
    let least = Number.POSITIVE_INFINITY
    for (const shape of shapes) least = Math.min(least, ellipsoidDistance(shape, x, y, z))
    return least
  }
}
