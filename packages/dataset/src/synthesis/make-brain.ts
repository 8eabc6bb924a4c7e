import { createRandom, MeshflError, type Random } from '@meshfl/core'
import type { Shape } from '@meshfl/volume'
import { createHead } from './head.js'
import { smoothField } from './random-field.js'
import { TISSUES } from './tissue.js'

/** What a made image looks like. Every choice that is not given here is drawn from the seed. */
export interface BrainOptions {
  seed: number
  /** Voxels along x, y, z. */
  shape: Shape
  /** Edge of a voxel, millimetres. A field of view of about 195 mm holds a head. */
  voxelSizeMm: number
  /** Factor on the difference of every tissue from white matter: 1 is a good T1, 0.5 half its contrast. */
  contrast?: number
  /** Standard deviation of the Rician noise, as a fraction of white matter's signal. */
  noise?: number
  /** Standard deviation of the logarithm of the smooth multiplicative bias field. */
  bias?: number
}

/** What is not asked for. */
export const DEFAULT_LOOK = { contrast: 1, noise: 0.02, bias: 0.05 } as const

export interface SynthesizedBrain {
  /** x fastest. */
  image: Uint8Array
  /** x fastest: 0 background, 1 white matter, 2 grey matter. */
  label: Uint8Array
  shape: [number, number, number]
  /** Row-major 4x4, voxel to RAS millimetres: LIA with the grid's middle voxel at the origin, as a conformed volume. */
  affine: number[]
}

const WHITE_LEVEL = 150

/**
 * A coarse T1-weighted head and its labels, the same bytes for the same options. A voxel is the mean of the tissues at points
 * spread in it (partial volume). Its label is background where more than half of them are, else white or grey matter, whichever has more; then
 * come bias field, noise and gain.
 * @throws MeshflError `SYNTHESIS_GRID`
 */
export function makeBrain(options: BrainOptions): SynthesizedBrain {
  const { seed, voxelSizeMm, contrast, noise, bias } = { ...DEFAULT_LOOK, ...options }
  const shape: [number, number, number] = [...options.shape]
  checkBrainGrid(shape, voxelSizeMm)
  const affine = conformedAffine(shape, voxelSizeMm)
  const head = createHead(createRandom(seed, 'brain', 'anatomy'))
  const look = createRandom(seed, 'brain', 'look')
  const signals = TISSUES.map(({ signal }) => 1 - contrast * (1 - signal) * (1 + 0.05 * look.normal()))
  const gain = WHITE_LEVEL * (0.94 + 0.12 * look.uniform())
  const texture = smoothField(look, 22)
  const biasField = smoothField(look, 190)
  const pose = drawPose(createRandom(seed, 'brain', 'pose'))
  const warp = [0, 1, 2].map((axis) => smoothField(createRandom(seed, 'brain', 'warp', axis), 90))
  const grain = createRandom(seed, 'brain', 'noise')

  const perAxis = Math.min(Math.max(Math.round(voxelSizeMm / 1.8), 1), 3)
  const points = subvoxelPoints(perAxis, voxelSizeMm, pose.matrix)
  const count = points.length / 3
  const [nx, ny, nz] = shape
  const image = new Uint8Array(nx * ny * nz)
  const label = new Uint8Array(nx * ny * nz)
  const votes = new Int32Array(3)
  const [m0, m1, m2, m3, m4, m5, m6, m7, m8] = pose.matrix as Matrix
  const [tx, ty, tz] = pose.translation
  for (let k = 0, at = 0; k < nz; k++) {
    for (let j = 0; j < ny; j++) {
      for (let i = 0; i < nx; i++, at++) {
        const wx = (nx / 2 - i) * voxelSizeMm - tx
        const wy = (k - nz / 2) * voxelSizeMm - ty
        const wz = (ny / 2 - j) * voxelSizeMm - tz
        let x = m0 * wx + m1 * wy + m2 * wz
        let y = m3 * wx + m4 * wy + m5 * wz
        let z = m6 * wx + m7 * wy + m8 * wz
        let signal = 0
        votes.fill(0)
        if (head.isOutside(x, y, z, voxelSizeMm + 8)) {
          signal = signals[0]!
        } else {
          const dx = WARP_MM * warp[0]!(x, y, z)
          const dy = WARP_MM * warp[1]!(x, y, z)
          const dz = WARP_MM * warp[2]!(x, y, z)
          x += dx
          y += dy
          z += dz
          const wander = texture(x, y, z)
          for (let p = 0; p < points.length; p += 3) {
            const tissue = head.tissueAt(x + points[p]!, y + points[p + 1]!, z + points[p + 2]!)
            const properties = TISSUES[tissue]!
            votes[properties.label]!++
            signal += signals[tissue]! * (1 + properties.texture * wander)
          }
          signal *= Math.exp(bias * biasField(x, y, z)) / count
          label[at] = mostVotes(votes)
        }
        const real = signal + noise * grain.normal()
        const imaginary = noise * grain.normal()
        image[at] = Math.min(Math.round(gain * Math.sqrt(real * real + imaginary * imaginary)), 255)
      }
    }
  }
  return { image, label, shape, affine }
}

/** How far the smooth warp moves a point, millimetres (standard deviation along each axis). */
const WARP_MM = 2

type Matrix = [number, number, number, number, number, number, number, number, number]

interface Pose {
  /** Row-major 3x3 from world to the average head. */
  matrix: number[]
  translation: [number, number, number]
}

/** Size, proportions, tilt and place of one head. */
function drawPose(random: Random): Pose {
  const within = (spread: number): number => spread * (2 * random.uniform() - 1)
  const size = 0.92 + within(0.04)
  const scales = [0, 1, 2].map(() => 1 / (size * (1 + within(0.035))))
  const [pitch, roll, yaw] = [0.15, 0.08, 0.1].map(within) as [number, number, number]
  const [sp, cp, sr, cr, sy, cy] = [pitch, roll, yaw].flatMap((angle) => [Math.sin(angle), Math.cos(angle)]) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const rotation = [
    [cy * cr, -sy * cp + cy * sr * sp, sy * sp + cy * sr * cp],
    [sy * cr, cy * cp + sy * sr * sp, -cy * sp + sy * sr * cp],
    [-sr, cr * sp, cr * cp],
  ]
  return {
    matrix: rotation.flatMap((row, axis) => row.map((value) => value * scales[axis]!)),
    translation: [within(4), within(3), 8 + within(4)],
  }
}

/** Points spread evenly in a voxel, as offsets in the average head: x, y, z of one after the other. */
function subvoxelPoints(perAxis: number, voxelSizeMm: number, matrix: readonly number[]): Float64Array {
  const points: number[] = []
  const offset = (n: number): number => ((n + 0.5) / perAxis - 0.5) * voxelSizeMm
  for (let c = 0; c < perAxis; c++)
    for (let b = 0; b < perAxis; b++)
      for (let a = 0; a < perAxis; a++)
        for (let row = 0; row < 3; row++)
          points.push(
            matrix[row * 3]! * offset(a) + matrix[row * 3 + 1]! * offset(b) + matrix[row * 3 + 2]! * offset(c),
          )
  return Float64Array.from(points)
}

/** The class with most votes, brain before background and white before grey where they are equal. */
function mostVotes(votes: Int32Array): number {
  const [background, white, grey] = votes as unknown as [number, number, number]
  if (background > white && background > grey && background > white + grey) return 0
  if (white + grey === 0) return 0
  return white >= grey ? 1 : 2
}

/** LIA: x to the left, y down, z to the front, the origin at voxel shape / 2. */
function conformedAffine([nx, ny, nz]: readonly [number, number, number], size: number): number[] {
  return [-size, 0, 0, (nx / 2) * size, 0, 0, size, (-nz / 2) * size, 0, -size, 0, (ny / 2) * size, 0, 0, 0, 1]
}

/** @throws MeshflError `SYNTHESIS_GRID` */
export function checkBrainGrid(shape: readonly number[], voxelSizeMm: number): void {
  const whole = shape.length === 3 && shape.every((n) => Number.isInteger(n) && n >= 8 && n <= 512)
  if (whole && voxelSizeMm >= 0.1 && voxelSizeMm <= 30) return
  throw new MeshflError('SYNTHESIS_GRID', `a brain of ${shape.join('x')} voxels of ${voxelSizeMm} mm cannot be made`, {
    kind: 'usage',
    hint: 'take 8 to 512 voxels of 0.1 to 30 mm along each axis, for example --shape 48 --voxel-size 4',
    data: { shape: [...shape], voxelSizeMm },
  })
}
