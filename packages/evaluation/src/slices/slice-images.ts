import { MeshflError } from '@meshfl/core'
import { type Affine, orientation, type Shape, voxelSize } from '@meshfl/volume'
import { classColour, ERROR_KINDS, rgba } from './palette.js'
import {
  type Box,
  type Convention,
  type Edges,
  forEachPixel,
  type PlaneName,
  planeLayouts,
  planeSize,
} from './plane.js'
import { encodeGreyPng, encodeIndexedPng, type Rgba } from './png.js'

export interface SliceInput {
  subject: string
  /** Any numbers, x fastest; shown between their 1st and 99.8th percentile. */
  image: ArrayLike<number>
  /** Classes, on the grid of the image. */
  truth: Uint8Array
  prediction: Uint8Array
  shape: Shape
  /** Of the grid: says which way the voxel axes point, and the size of a voxel. */
  affine: Affine
  /** Default `radiological`. */
  convention?: Convention | undefined
}

/** One plane of a case: four pictures of the same pixels, PNG. The last three are transparent and lie over the first. */
export interface PlaneSlices {
  plane: PlaneName
  edges: Edges
  /** The voxel index of the slice along the axis that it cuts. */
  slice: number
  width: number
  height: number
  widthMm: number
  heightMm: number
  image: Uint8Array
  truth: Uint8Array
  prediction: Uint8Array
  error: Uint8Array
  /** Pixels of this slice that the prediction has wrong, and pixels that are a class in either. */
  wrongPixels: number
  labelPixels: number
}

/** What renderHtml shows of a case: a few dozen kilobytes, so that volumes need not stay in memory. */
export interface CaseSlices {
  subject: string
  convention: Convention
  planes: PlaneSlices[]
}

const MARGIN_MM = 10
const FILL_ALPHA = 84

/**
 * Cuts the axial, coronal and sagittal slice through the centre of mass of the true label, cropped to what is labelled in
 * either volume and a margin.
 * @throws MeshflError `EVAL_GRID_MISMATCH`, `VOLUME_AFFINE_SINGULAR`
 */
export function sliceImages(input: SliceInput): CaseSlices {
  const { shape, affine, truth, prediction, image } = input
  const voxels = shape[0] * shape[1] * shape[2]
  if (truth.length !== voxels || prediction.length !== voxels || image.length !== voxels) {
    throw new MeshflError(
      'EVAL_GRID_MISMATCH',
      `image, truth and prediction of ${input.subject} have ${image.length}, ${truth.length} and ${prediction.length} voxels; the grid ${shape.join(' x ')} has ${voxels}`,
      { hint: 'bring all three to one grid first', data: { subject: input.subject, shape: [...shape] } },
    )
  }
  const convention = input.convention ?? 'radiological'
  const voxelSizeMm = voxelSize(affine)
  const layouts = planeLayouts(orientation(affine), convention)
  const { box, centre } = locate(truth, prediction, shape, voxelSizeMm)
  const window = percentiles(image, 0.01, 0.998)
  const planes = layouts.map((layout): PlaneSlices => {
    const { width, height } = planeSize(layout, box)
    const slice = centre[layout.through]!
    const grey = new Uint8Array(width * height)
    const [t, p] = [new Uint8Array(width * height), new Uint8Array(width * height)]
    forEachPixel(layout, shape, box, slice, (pixel, voxel) => {
      grey[pixel] = Math.round(
        255 * Math.min(1, Math.max(0, (image[voxel]! - window.low) / (window.high - window.low))),
      )
      t[pixel] = truth[voxel]!
      p[pixel] = prediction[voxel]!
    })
    const errors = errorKinds(t, p)
    const errorPalette: Rgba[] = [[0, 0, 0, 0], ...ERROR_KINDS.map(({ colour }) => rgba(colour, 255))]
    return {
      plane: layout.plane,
      edges: layout.edges,
      slice,
      width,
      height,
      widthMm: width * voxelSizeMm[layout.across.axis]!,
      heightMm: height * voxelSizeMm[layout.down.axis]!,
      image: encodeGreyPng(width, height, grey),
      truth: overlay(width, height, t),
      prediction: overlay(width, height, p),
      error: encodeIndexedPng(width, height, errors, errorPalette),
      wrongPixels: errors.reduce((count, kind) => count + (kind > 0 ? 1 : 0), 0),
      labelPixels: t.reduce((count, value, i) => count + (value > 0 || p[i]! > 0 ? 1 : 0), 0),
    }
  })
  return { subject: input.subject, convention, planes }
}

/** 1 missed, 2 extra, 3 mixed up, in the order of ERROR_KINDS; 0 right. */
function errorKinds(truth: Uint8Array, prediction: Uint8Array): Uint8Array {
  return truth.map((value, i) => {
    const given = prediction[i]!
    if (value === given) return 0
    return given === 0 ? 1 : value === 0 ? 2 : 3
  })
}

/** Each class filled lightly, with an opaque outline one pixel wide inside its edge. */
function overlay(width: number, height: number, labels: Uint8Array): Uint8Array {
  const present = [...new Set(labels)].filter((value) => value > 0).sort((a, b) => a - b)
  const slot = new Map(present.slice(0, 127).map((value, i) => [value, 1 + 2 * i]))
  const palette: Rgba[] = [[0, 0, 0, 0]]
  for (const value of slot.keys()) {
    const { overlay: colour } = classColour(value)
    palette.push(rgba(colour, FILL_ALPHA), rgba(colour, 255))
  }
  const indices = labels.map((value, i) => {
    const fill = slot.get(value)
    if (fill === undefined) return 0
    const [x, y] = [i % width, Math.floor(i / width)]
    const inside =
      (x === 0 || labels[i - 1] === value) &&
      (x === width - 1 || labels[i + 1] === value) &&
      (y === 0 || labels[i - width] === value) &&
      (y === height - 1 || labels[i + width] === value)
    return inside ? fill : fill + 1
  })
  return encodeIndexedPng(width, height, indices, palette)
}

/** The box of all that is labelled, with a margin, and the centre of mass of the truth (else of the prediction, else of the grid). */
function locate(
  truth: Uint8Array,
  prediction: Uint8Array,
  shape: Shape,
  voxelSizeMm: readonly [number, number, number],
): { box: Box; centre: [number, number, number] } {
  const sums = { truth: [0, 0, 0, 0], prediction: [0, 0, 0, 0] }
  const box: Box = { first: [shape[0], shape[1], shape[2]], last: [-1, -1, -1] }
  const add = (sum: number[], x: number, y: number, z: number): void => {
    sum[0]! += x
    sum[1]! += y
    sum[2]! += z
    sum[3]! += 1
  }
  let i = 0
  for (let z = 0; z < shape[2]; z++)
    for (let y = 0; y < shape[1]; y++)
      for (let x = 0; x < shape[0]; x++, i++) {
        if (truth[i] === 0 && prediction[i] === 0) continue
        if (truth[i] !== 0) add(sums.truth, x, y, z)
        else add(sums.prediction, x, y, z)
        const at = [x, y, z]
        for (let axis = 0; axis < 3; axis++) {
          if (at[axis]! < box.first[axis]!) box.first[axis] = at[axis]!
          if (at[axis]! > box.last[axis]!) box.last[axis] = at[axis]!
        }
      }
  const sum = sums.truth[3]! > 0 ? sums.truth : sums.prediction
  const empty = sum[3] === 0
  for (let axis = 0; axis < 3; axis++) {
    const margin = Math.ceil(MARGIN_MM / voxelSizeMm[axis]!)
    box.first[axis] = empty ? 0 : Math.max(0, box.first[axis]! - margin)
    box.last[axis] = empty ? shape[axis]! - 1 : Math.min(shape[axis]! - 1, box.last[axis]! + margin)
  }
  const middle = (axis: number): number => (empty ? shape[axis]! >> 1 : Math.round(sum[axis]! / sum[3]!))
  return { box, centre: [middle(0), middle(1), middle(2)] }
}

/** The window in which an image is shown, from at most some 65,000 of its voxels. */
function percentiles(image: ArrayLike<number>, low: number, high: number): { low: number; high: number } {
  const step = Math.max(1, Math.floor(image.length / 65_536))
  const sample: number[] = []
  for (let i = 0; i < image.length; i += step) if (Number.isFinite(image[i])) sample.push(image[i]!)
  sample.sort((a, b) => a - b)
  const at = (fraction: number): number => sample[Math.floor(fraction * (sample.length - 1))] ?? 0
  const [from, to] = [at(low), at(high)]
  return { low: from, high: to > from ? to : from + 1 }
}
