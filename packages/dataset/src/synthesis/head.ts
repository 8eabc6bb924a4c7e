import type { Random } from '@meshfl/core'
import { brainDistance, createBrain } from './brain.js'
import { sharedField, smoothField } from './random-field.js'
import { type Ellipsoid, ellipsoidDistance, smoothMin } from './shapes.js'
import { Tissue } from './tissue.js'

const FACE: Ellipsoid = { x: 0, y: 44, z: -62, rx: 58, ry: 50, rz: 62 }
const ORBIT: Ellipsoid = { x: 31, y: 74, z: -34, rx: 18, ry: 19, rz: 17 }
const EYE: Ellipsoid = { x: 31, y: 79, z: -34, rx: 12, ry: 12, rz: 12 }
const NOSE: Ellipsoid = { x: 0, y: 62, z: -58, rx: 15, ry: 26, rz: 22 }
const JAW: Ellipsoid = { x: 0, y: 52, z: -88, rx: 40, ry: 36, rz: 16 }

export interface Head {
  /** Whether a point is farther than `margin` millimetres from the head. */
  isOutside(x: number, y: number, z: number, margin: number): boolean
  tissueAt(x: number, y: number, z: number): Tissue
}

/** Signed distance to face and neck. */
const faceDistance = sharedField((x, y, z) => {
  const neck = Math.max(Math.sqrt((x * x) / 1.1 + ((y + 18) * (y + 18)) / 1.2) - 56, z + 30)
  return smoothMin(ellipsoidDistance(FACE, x, y, z), neck, 12)
})

/**
 * A brain in its wrappings: fluid, meninges, skull of two tables with marrow between, fat and muscle under skin, and below it a
 * face with orbits, sinuses and jaw, and a neck. The layers are level sets of the distance from the brain, of uneven thickness.
 */
export function createHead(random: Random): Head {
  const brainAt = createBrain(random)
  const distanceAt = brainDistance()
  const lowerAt = faceDistance()
  const unevenness = smoothField(random, 70)
  const texture = smoothField(random, 26)
  const fluid = 1.8 + 1.6 * random.uniform()
  const meninges = 1.4
  const skull = 5.5 + 2.5 * random.uniform()
  const scalp = 6.5 + 3 * random.uniform()
  const subcutaneous = 4 + 4 * random.uniform()
  const skin = 2

  const isOutside = (x: number, y: number, z: number, margin: number): boolean =>
    distanceAt(x, y, z) > fluid + 2 * meninges + skull + 5 + scalp + 5 + margin && lowerAt(x, y, z) > margin

  const faceAt = (x: number, y: number, z: number, depth: number): Tissue => {
    const side = Math.abs(x)
    if (depth < skin) return Tissue.skin
    const wander = texture(x, y, z)
    if (ellipsoidDistance(NOSE, x, y, z) < 0) return wander > 0.6 ? Tissue.muscle : Tissue.air
    if (ellipsoidDistance(JAW, side, y, z) < 0) return wander > 0.3 ? Tissue.marrow : Tissue.bone
    if (depth < skin + subcutaneous) return Tissue.fat
    if (x * x + (y + 38) * (y + 38) < 170) return wander > 0 ? Tissue.marrow : Tissue.bone
    return wander > 0.75 ? Tissue.fat : Tissue.muscle
  }
  const tissueAt = (x: number, y: number, z: number): Tissue => {
    const distance = distanceAt(x, y, z)
    const wander = unevenness(x, y, z)
    const cavity = fluid + 0.4 * wander
    if (distance < cavity) return brainAt(x, y, z)
    const dura = cavity + meninges
    if (distance < dura) return Tissue.meninges
    const side = Math.abs(x)
    if (ellipsoidDistance(EYE, side, y, z) < 0) return Tissue.fluid
    if (ellipsoidDistance(ORBIT, side, y, z) < 0 && y < 84) return Tissue.fat
    const thickness = skull * (1 + 0.25 * wander)
    const through = (distance - dura) / thickness
    if (through < 1) return through > 0.32 && through < 0.72 ? Tissue.marrow : Tissue.bone
    const surface = dura + thickness + scalp * (1 + 0.12 * wander)
    const depth = Math.max(surface - distance, -lowerAt(x, y, z))
    if (depth < 0) return Tissue.air
    if (distance >= surface) return faceAt(x, y, z, depth)
    if (depth < skin) return Tissue.skin
    const temporalis = z < 12 && Math.abs(y) < 40
    return temporalis || texture(x, y, z) > 1.2 ? Tissue.muscle : Tissue.fat
  }
  return { isOutside, tissueAt }
}
