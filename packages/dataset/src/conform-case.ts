import { MeshflError } from '@meshfl/core'
import {
  type ConformOptions,
  conformGeometry,
  conformImage,
  conformLabel,
  countOutside,
  type Geometry,
  readGeometry,
  readVolume,
  type Volume,
  voxelSize,
} from '@meshfl/volume'
import { type CaseNames, checkCase, checkImage, classStatistics } from './check-case.js'
import { checkGrids } from './grids.js'
import { type LabelMap, type MappedLabel, mapLabels, type Vocabulary } from './label-map.js'
import { vocabularyOfNames } from './label-names.js'
import type { FoundCase } from './layouts/layout.js'
import type { Finding } from './manifest.js'

/** Parts of a label that the grid may cut off: the edge of a cerebellum is a finding, a slice of cortex makes the case useless. */
const WARN_CROPPED = 0.01
const MAX_CROPPED = 0.05

export interface ConformCaseOptions {
  conform: ConformOptions
  labelMap: LabelMap
  /** Which volume of a 4D image, and of a 4D label. */
  volume?: number
  nanToZero?: boolean
}

/** A case on the dataset's grid. */
export interface ConformedCase {
  image: Volume<Uint8Array>
  /** Class values. */
  label: Volume<Uint8Array>
  /** Grid of the image that it was made from. */
  source: Geometry
  /** Voxels of each value of the label, 256 of them. */
  voxels: number[]
  findings: Finding[]
}

/**
 * Reads one case, maps its codes to classes, brings both volumes to one grid and checks them.
 * @param names what to call the files in findings and errors
 * @throws MeshflError whatever makes the case unusable
 */
export async function conformCase(
  found: FoundCase,
  names: CaseNames,
  options: ConformCaseOptions,
): Promise<ConformedCase> {
  const { conform, labelMap, volume, nanToZero = false } = options
  const image = await readVolume(found.image, {
    kind: 'image',
    nanToZero,
    ...(volume === undefined ? {} : { volume }),
  })
  checkImage(image.voxels, names)
  const vocabulary = await vocabularyOfNames(found.names, labelMap)
  const label = await readLabel(found.label, labelMap, vocabulary, nanToZero, volume)
  checkGrids(image, label.volume, names)
  const findings = findingsOfLabel(label.mapped, labelMap, names)
  for (const [code, file, zeroed] of [
    ['IMAGE_NOT_FINITE', names.image, image.zeroed],
    ['LABEL_NOT_FINITE', names.label, label.volume.zeroed],
  ] as const) {
    if (zeroed === undefined) continue
    const message = `${file}: ${zeroed} voxels that were NaN or infinite became 0`
    findings.push({ level: 'warning', code, message, subject: names.subject })
  }
  if (image.isUnplaced) {
    const message = `${names.image} does not say how it lies in the head; it is taken as readers take such a file, which may be sideways or mirrored`
    findings.push({ level: 'warning', code: 'IMAGE_UNPLACED', message, subject: names.subject })
  }
  const target = conformGeometry(image, conform)
  const { isUnplaced: _, ...placed } = label.volume
  const mapped = { ...placed, voxels: label.mapped.classes }
  findings.push(...checkCropped(mapped, target, names))
  const conformedImage = conformImage(image, conform)
  const conformedLabel = conformLabel(mapped, target)
  const statistics = classStatistics(conformedImage.voxels, conformedLabel.voxels)
  findings.push(...checkCase(statistics, labelMap, names))
  return {
    image: conformedImage,
    // A label that already lay there to within rounding takes its image's affine to the last bit.
    label: { ...conformedLabel, affine: conformedImage.affine },
    source: { shape: image.shape, affine: image.affine },
    voxels: statistics.voxels,
    findings,
  }
}

/**
 * What a model would never see, and no score would miss.
 * @throws MeshflError `LABEL_CROPPED`
 */
function checkCropped(label: Volume<Uint8Array>, grid: Geometry, names: CaseNames): Finding[] {
  const { labelled, outside } = countOutside(label, grid)
  if (outside <= WARN_CROPPED * labelled) return []
  const edges = voxelSize(grid.affine).map((edge) => Number(edge.toFixed(3)))
  const percent = ((100 * outside) / labelled).toFixed(1)
  const message = `${percent} % of ${names.label} lies outside of the grid of ${grid.shape.join(' x ')} voxels of ${edges.join(' x ')} mm`
  if (outside <= MAX_CROPPED * labelled)
    return [{ level: 'warning', code: 'LABEL_CROPPED', message, subject: names.subject }]
  throw new MeshflError('LABEL_CROPPED', message, {
    hint: 'give a larger --shape, or larger voxels with --voxel-size; a scan whose head is off its centre can be cropped around it first',
    data: { labelled, outside },
  })
}

/** Reads a label file; values between whole numbers are for a map that lists them (0, 0.5, 1). */
async function readLabel(
  path: string,
  map: LabelMap,
  names: Vocabulary | undefined,
  nanToZero: boolean,
  wanted: number | undefined,
): Promise<{ volume: Volume; mapped: MappedLabel }> {
  // A 4D image often has a 3D label: only where there is a choice is it made.
  const several = wanted !== undefined && (await readGeometry(path)).volumes > 1
  const options = { nanToZero, ...(several ? { volume: wanted } : {}) }
  try {
    const volume = await readVolume(path, { kind: 'label', ...options })
    return { volume, mapped: mapLabels(volume.voxels, map, names) }
  } catch (error) {
    const fractional = map.vocabularies.some(({ codes }) => [...codes.keys()].some((code) => !Number.isInteger(code)))
    if (!fractional || !(error instanceof MeshflError) || error.code !== 'LABEL_NOT_INTEGER') throw error
    const volume = await readVolume(path, { kind: 'image', ...options })
    const mapped = mapLabels(volume.voxels, map)
    if (mapped.unmapped.length > 0) throw error
    return { volume, mapped }
  }
}

/** @throws MeshflError `LABEL_MAP_MISMATCH` */
function findingsOfLabel(mapped: MappedLabel, map: LabelMap, names: CaseNames): Finding[] {
  if (mapped.unmapped.length === 0) return []
  if (map.vocabularies.length === 0) {
    const codes = mapped.unmapped.slice(0, 8).map(({ code }) => code)
    throw new MeshflError(
      'LABEL_MAP_MISMATCH',
      `${names.label} has codes that are no class: ${codes.join(', ')}${mapped.unmapped.length > codes.length ? ', ...' : ''}; the label map ${map.name} takes each code for a class, and those go from 0 to 127`,
      { hint: 'give a map of the codes that are wanted with --label-map <file>, a JSON file' },
    )
  }
  if (mapped.foreign || mapped.mapped < (map.leastMapped ?? 0)) {
    const codes = mapped.unmapped.slice(0, 8).map(({ code }) => code)
    throw new MeshflError(
      'LABEL_MAP_MISMATCH',
      `${names.label} has other codes than the label map ${map.name} reads: ${Math.round(100 * mapped.mapped)} % of its labelled voxels get a class; among those that do not are ${codes.join(', ')}`,
      {
        hint: 'give the map of these codes with --label-map <file>: a JSON file, which often lies beside the data; in BIDS a dseg.tsv that names them will do',
      },
    )
  }
  const shown = mapped.unmapped.slice(0, 12).map(({ code, voxels }) => `${code} (${voxels})`)
  const more = mapped.unmapped.length > shown.length ? ` and ${mapped.unmapped.length - shown.length} more` : ''
  return [
    {
      level: 'warning',
      code: 'LABEL_UNMAPPED',
      message: `${names.label}: codes that the map ${map.name} does not list became background (voxels): ${shown.join(', ')}${more}`,
      subject: names.subject,
    },
  ]
}
