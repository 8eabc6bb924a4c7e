import type { LabelMap } from './label-map.js'

/** FreeSurfer's cortical parcels: aparc (Desikan-Killiany) and aparc.a2009s (Destrieux), left and right. */
const CORTEX = [...range(1000, 1035), ...range(2000, 2035), ...range(11100, 11175), ...range(12100, 12175)]
const CEREBRAL_WHITE = [2, 41, 77, 78, 79, ...range(250, 255)]
const CEREBELLAR_WHITE = [7, 46]

/** Ventricles and CSF, vessels, choroid plexus, hypointensities outside white matter, optic chiasm. */
const NO_TISSUE = [0, 4, 5, 14, 15, 24, 30, 31, 43, 44, 62, 63, 72, 80, 85]

const LEAST_MAPPED = 0.1
/** The white matter of both hemispheres. */
const FREESURFER_HALLMARK = [2, 41]

const GW3_WHITE = [...CEREBRAL_WHITE, ...CEREBELLAR_WHITE, 16, 28, 60]
const GW3_GREY = [3, 42, ...CORTEX, ...range(8, 13), ...range(17, 20), 26, 27, ...range(47, 55), 58, 59]

/**
 * Background, white matter, grey matter: from FreeSurfer's aseg and aparc+aseg, from labels that hold 0, 1, 2 already, and
 * from 0, 0.5, 1 (the same three divided by two, as Mindboggle's prepared database has them).
 */
export const gw3Map: LabelMap = {
  name: 'gw3',
  leastMapped: LEAST_MAPPED,
  classes: [
    { value: 0, name: 'background' },
    { value: 1, name: 'white matter' },
    { value: 2, name: 'grey matter' },
  ],
  vocabularies: [
    { name: '0, 1, 2', codes: codesOf([[0], [1], [2]]) },
    { name: '0, 0.5, 1', codes: codesOf([[0], [0.5], [1]]) },
    { name: 'FreeSurfer', codes: codesOf([NO_TISSUE, GW3_WHITE, GW3_GREY]), hallmark: FREESURFER_HALLMARK },
  ],
}

/** The 18 structures, left and right together, that brainchop's subcortical model segments, in its order. */
const ASEG: [name: string, codes: number[]][] = [
  ['background', [0, 24, 30, 31, 62, 63, 72, 80, 85]],
  ['cerebral white matter', CEREBRAL_WHITE],
  ['cerebral cortex', [3, 42, ...CORTEX]],
  ['lateral ventricle', [4, 43]],
  ['inferior lateral ventricle', [5, 44]],
  ['cerebellar white matter', CEREBELLAR_WHITE],
  ['cerebellar cortex', [8, 47]],
  ['thalamus', [9, 10, 48, 49]],
  ['caudate', [11, 50]],
  ['putamen', [12, 51]],
  ['pallidum', [13, 52]],
  ['third ventricle', [14]],
  ['fourth ventricle', [15]],
  ['brain stem', [16]],
  ['hippocampus', [17, 53]],
  ['amygdala', [18, 54]],
  ['accumbens area', [26, 58]],
  ['ventral DC', [28, 60]],
]

/** FreeSurfer's aseg (or aparc+aseg, its cortex as one) as the 18 classes of brainchop's subcortical model. */
export const asegMap: LabelMap = {
  name: 'aseg',
  leastMapped: LEAST_MAPPED,
  classes: ASEG.map(([name], value) => ({ value, name })),
  vocabularies: [{ name: 'FreeSurfer', codes: codesOf(ASEG.map(([, codes]) => codes)), hallmark: FREESURFER_HALLMARK }],
}

function codesOf(classes: number[][]): Map<number, number> {
  return new Map(classes.flatMap((codes, value) => codes.map((code): [number, number] => [code, value])))
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}
