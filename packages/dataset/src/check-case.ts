import { MeshflError } from '@meshfl/core'
import type { LabelMap } from './label-map.js'
import type { Finding } from './manifest.js'

/** Voxels of a label outside the image's non-zero part, beyond which the two hardly belong together. */
const MAX_OFF_IMAGE = 0.2

/** What a person calls the case and its files. */
export interface CaseNames {
  subject: string
  image: string
  label: string
}

/** Counts and intensities of the classes of one conformed case. */
export interface ClassStatistics {
  /** Voxels of each value, 256 of them. */
  voxels: number[]
  /** Mean intensity of each value, NaN where there is no voxel. */
  meanIntensity: number[]
  /** Labelled voxels on which the image is 0. */
  offImage: number
  /** Whether all voxels of the image have one value, or nearly all. */
  constant: boolean
}

/** One pass over a conformed image and its label, both uint8 of the same length. */
export function classStatistics(image: Uint8Array, label: Uint8Array): ClassStatistics {
  const joint = new Uint32Array(65536) // voxels by label and intensity
  for (let i = 0; i < label.length; i++) joint[label[i]! * 256 + image[i]!]!++
  const voxels = new Array<number>(256).fill(0)
  const sums = new Array<number>(256).fill(0)
  const intensities = new Array<number>(256).fill(0)
  let offImage = 0
  for (let value = 0; value < 256; value++) {
    for (let intensity = 0; intensity < 256; intensity++) {
      const count = joint[value * 256 + intensity]!
      if (count === 0) continue
      intensities[intensity]! += count
      voxels[value]! += count
      sums[value]! += count * intensity
      if (value > 0 && intensity === 0) offImage += count
    }
  }
  const meanIntensity = sums.map((sum, value) => sum / voxels[value]!)
  return { voxels, meanIntensity, offImage, constant: isAlmostOne(intensities) }
}

/** @throws MeshflError `IMAGE_CONSTANT` */
export function checkImage(voxels: ArrayLike<number>, names: CaseNames): void {
  const first = voxels[0]
  for (let i = 1; i < voxels.length; i++) if (voxels[i] !== first) return
  throw new MeshflError('IMAGE_CONSTANT', `${names.image} has the same value everywhere`, {
    hint: 'export the image again, or take the case out',
  })
}

/** A head takes more of any grid than that. */
const LEAST_SEEN = 1e-3

/** @param counts voxels by intensity */
function isAlmostOne(counts: readonly number[]): boolean {
  const total = counts.reduce((a, b) => a + b, 0)
  return total - Math.max(...counts) <= LEAST_SEEN * total
}

/**
 * What a model would see nothing in: an image that was not constant, of which a few voxels are so bright that all others become one value.
 * @param voxels 0 to 255
 * @param image what to call it
 * @throws MeshflError `IMAGE_CONSTANT`
 */
export function checkConformed(voxels: Uint8Array, image: string): void {
  const counts = new Array<number>(256).fill(0)
  for (let i = 0; i < voxels.length; i++) counts[voxels[i]!]!++
  if (isAlmostOne(counts)) throw constantWhenConformed(image)
}

function constantWhenConformed(image: string): MeshflError {
  return new MeshflError('IMAGE_CONSTANT', `${image} has the same value nearly everywhere once it is conformed`, {
    hint: 'look for a few voxels that are far brighter than the head, and for a head outside of the grid; export the image again, or take the case out',
  })
}

/**
 * What is wrong with a conformed case, and what is odd about it.
 * @throws MeshflError `IMAGE_CONSTANT`, `LABEL_EMPTY`, `LABEL_CLASSES_SWAPPED`: the case cannot be used
 */
export function checkCase(statistics: ClassStatistics, map: LabelMap, names: CaseNames): Finding[] {
  const { voxels, meanIntensity } = statistics
  if (statistics.constant) throw constantWhenConformed(names.image)
  const labelled = voxels.slice(1).reduce((a, b) => a + b, 0)
  if (labelled === 0) {
    throw new MeshflError('LABEL_EMPTY', `${names.label} has no voxel of any class but the background`, {
      hint: `check that its codes are those of the label map ${map.name}, and that it lies in the image's field of view`,
    })
  }
  checkOrder(meanIntensity, map, names)
  const findings: Finding[] = []
  const missing = map.classes.filter(({ value }) => value > 0 && voxels[value] === 0).map(({ name }) => name)
  if (missing.length > 0) {
    findings.push({
      level: 'warning',
      code: 'LABEL_CLASS_MISSING',
      message: `${names.label} has no voxel of ${missing.join(', ')}`,
      subject: names.subject,
    })
  }
  if (statistics.offImage > MAX_OFF_IMAGE * labelled) {
    const percent = Math.round((100 * statistics.offImage) / labelled)
    findings.push({
      level: 'warning',
      code: 'LABEL_OFF_IMAGE',
      message: `${percent} % of ${names.label} lies where ${names.image} is 0: do the two belong together?`,
      subject: names.subject,
    })
  }
  return findings
}

/** On a T1 white matter is brighter than grey; on the contrasts that a file name can tell, it is not. */
function checkOrder(meanIntensity: number[], map: LabelMap, names: CaseNames): void {
  if (/(^|[_-])(T2w?|T2starw|FLAIR|PDw?|inplaneT2)(?=[_.-]|$)/i.test(names.image)) return
  const classLike = (pattern: RegExp): number | undefined =>
    map.classes.find(({ value, name }) => value > 0 && pattern.test(name))?.value
  const white = classLike(/white/i)
  const grey = classLike(/gr[ae]y|cerebral cortex/i)
  if (white === undefined || grey === undefined) return
  const [whiteMean, greyMean] = [meanIntensity[white]!, meanIntensity[grey]!]
  if (!(whiteMean < greyMean)) return
  throw new MeshflError(
    'LABEL_CLASSES_SWAPPED',
    `${names.label}: its white matter is darker than its grey matter (mean intensity ${whiteMean.toFixed(1)} against ${greyMean.toFixed(1)}), so on a T1 the two classes are swapped`,
    {
      hint: 'give a label map (JSON) that lists the codes under the right classes, or check that image and label belong together',
    },
  )
}
