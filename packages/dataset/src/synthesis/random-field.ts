import type { Random } from '@meshfl/core'

/** A smooth function of place. */
export type Field = (x: number, y: number, z: number) => number

interface PlaneWave {
  /** Radians per millimetre along x, y, z. */
  k: [number, number, number]
  phase: number
}

function drawWaves(random: Random, wavelength: number, count: number): PlaneWave[] {
  return Array.from({ length: count }, () => {
    const direction = [random.normal(), random.normal(), random.normal()] as const
    const length = (2 * Math.PI) / (wavelength * (0.85 + 0.3 * random.uniform())) / Math.hypot(...direction)
    return {
      k: [direction[0] * length, direction[1] * length, direction[2] * length],
      phase: 2 * Math.PI * random.uniform(),
    }
  })
}

/**
 * A stationary Gaussian field with unit variance whose spectrum is a thin shell at `wavelength` millimetres: a sum of plane
 * waves of random direction and phase (Berry 1977, "Regular and irregular semiclassical wavefunctions").
 */
export function randomWaves(random: Random, wavelength: number, count: number): Field {
  const waves = drawWaves(random, wavelength, count)
  const amplitude = Math.sqrt(2 / count)
  return (x, y, z) => {
    let sum = 0
    for (const { k, phase } of waves) sum += Math.sin(k[0] * x + k[1] * y + k[2] * z + phase)
    return amplitude * sum
  }
}

/** A box of millimetres, and the step between the nodes that a function is sampled at. */
export interface Lattice {
  from: readonly [number, number, number]
  to: readonly [number, number, number]
  step: number
}

/** Samples a function once on a lattice; the field is its trilinear interpolation, constant outside the box. */
export function sampleField(lattice: Lattice, evaluate: Field): Field {
  const [nx, ny, nz] = nodesOf(lattice)
  const [x0, y0, z0] = lattice.from
  const nodes = new Float32Array(nx * ny * nz)
  for (let k = 0, at = 0; k < nz; k++)
    for (let j = 0; j < ny; j++)
      for (let i = 0; i < nx; i++, at++)
        nodes[at] = evaluate(x0 + i * lattice.step, y0 + j * lattice.step, z0 + k * lattice.step)
  return interpolate(lattice, nodes)
}

/** Holds every point of a head in the coordinates of the average one. */
const WHOLE_HEAD = { from: [-110, -110, -120], to: [110, 110, 110] } as const

/**
 * A function of the whole head that is the same for everyone, sampled every 3.5 mm when it is first wanted and kept: on surfaces with
 * radii of centimetres the interpolation is right to some hundredths of a millimetre.
 */
export function sharedField(evaluate: Field): () => Field {
  let field: Field | undefined
  return () => {
    field ??= sampleField({ ...WHOLE_HEAD, step: 3.5 }, evaluate)
    return field
  }
}

const SMOOTH_WAVES = 16

/** A Gaussian field of unit variance over the whole head, with structures of about half a wavelength. */
export function smoothField(random: Random, wavelength: number): Field {
  const lattice: Lattice = { ...WHOLE_HEAD, step: wavelength / 6 }
  const [nx, ny, nz] = nodesOf(lattice)
  const [x0, y0, z0] = lattice.from
  const nodes = new Float32Array(nx * ny * nz)
  const amplitude = Math.sqrt(2 / SMOOTH_WAVES)
  for (const { k, phase } of drawWaves(random, wavelength, SMOOTH_WAVES)) {
    const turnCos = Math.cos(k[0] * lattice.step)
    const turnSin = Math.sin(k[0] * lattice.step)
    for (let c = 0, at = 0; c < nz; c++) {
      for (let b = 0; b < ny; b++) {
        // along x the wave is a rotation by a constant angle: no sine per node
        const angle = k[0] * x0 + k[1] * (y0 + b * lattice.step) + k[2] * (z0 + c * lattice.step) + phase
        let sine = amplitude * Math.sin(angle)
        let cosine = amplitude * Math.cos(angle)
        for (let a = 0; a < nx; a++, at++) {
          nodes[at]! += sine
          const next = sine * turnCos + cosine * turnSin
          cosine = cosine * turnCos - sine * turnSin
          sine = next
        }
      }
    }
  }
  return interpolate(lattice, nodes)
}

function nodesOf({ from, to, step }: Lattice): [number, number, number] {
  const along = (axis: 0 | 1 | 2): number => Math.ceil((to[axis] - from[axis]) / step) + 1
  return [along(0), along(1), along(2)]
}

function interpolate(lattice: Lattice, nodes: Float32Array): Field {
  const [nx, ny, nz] = nodesOf(lattice)
  const [x0, y0, z0] = lattice.from
  const scale = 1 / lattice.step
  const [lastX, lastY, lastZ] = [nx - 1.001, ny - 1.001, nz - 1.001]
  const sy = nx
  const sz = nx * ny
  return (x, y, z) => {
    const u = Math.min(Math.max((x - x0) * scale, 0), lastX)
    const v = Math.min(Math.max((y - y0) * scale, 0), lastY)
    const w = Math.min(Math.max((z - z0) * scale, 0), lastZ)
    const i = Math.floor(u)
    const j = Math.floor(v)
    const k = Math.floor(w)
    const a = u - i
    const b = v - j
    const c = w - k
    const at = i + j * sy + k * sz
    const near = nodes[at]! * (1 - a) + nodes[at + 1]! * a
    const nearUp = nodes[at + sy]! * (1 - a) + nodes[at + sy + 1]! * a
    const far = nodes[at + sz]! * (1 - a) + nodes[at + sz + 1]! * a
    const farUp = nodes[at + sz + sy]! * (1 - a) + nodes[at + sz + sy + 1]! * a
    return (near * (1 - b) + nearUp * b) * (1 - c) + (far * (1 - b) + farUp * b) * c
  }
}
