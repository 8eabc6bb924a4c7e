/** Centre and radii, millimetres. */
export interface Ellipsoid {
  x: number
  y: number
  z: number
  rx: number
  ry: number
  rz: number
}

/**
 * Signed distance to an ellipsoid, negative inside: exact on the surface, to first order near it (the implicit function over
 * its gradient; Taubin 1991, "Estimation of planar curves, surfaces, and nonplanar space curves").
 */
export function ellipsoidDistance(shape: Ellipsoid, x: number, y: number, z: number): number {
  const a = (x - shape.x) / shape.rx
  const b = (y - shape.y) / shape.ry
  const c = (z - shape.z) / shape.rz
  const radius = Math.sqrt(a * a + b * b + c * c)
  const u = a / shape.rx
  const v = b / shape.ry
  const w = c / shape.rz
  const gradient = Math.sqrt(u * u + v * v + w * w)
  return gradient < 1e-9 ? -Math.min(shape.rx, shape.ry, shape.rz) : (radius * (radius - 1)) / gradient
}

/** The minimum of two distances, rounded off over `width`: the union of two shapes with a fillet between them. */
export function smoothMin(a: number, b: number, width: number): number {
  const overlap = Math.max(width - Math.abs(a - b), 0)
  return Math.min(a, b) - (overlap * overlap) / (4 * width)
}

/** The maximum, rounded off likewise: the intersection of two shapes. */
export function smoothMax(a: number, b: number, width: number): number {
  return -smoothMin(-a, -b, width)
}
