/** What a point of a made head consists of. */
export const Tissue = {
  air: 0,
  fluid: 1,
  greyMatter: 2,
  deepGrey: 3,
  whiteMatter: 4,
  cord: 5,
  meninges: 6,
  bone: 7,
  marrow: 8,
  fat: 9,
  muscle: 10,
  skin: 11,
} as const
export type Tissue = (typeof Tissue)[keyof typeof Tissue]

interface TissueProperties {
  /** Its class in the gw3 map: 0 background, 1 white matter, 2 grey matter. */
  label: 0 | 1 | 2
  /** Signal on a T1-weighted image where white matter is 1 and air is 0. */
  signal: number
  /** How much the signal of this tissue wanders from place to place, as a fraction of it. */
  texture: number
}

/**
 * Signals in the order of an inversion-prepared T1-weighted gradient echo: fat at and above white matter, muscle, skin and
 * marrow around grey matter, fluid and cortical bone dark. So intensity alone cannot tell brain from what surrounds it: place
 * and neighbours can.
 */
export const TISSUES: readonly TissueProperties[] = [
  { label: 0, signal: 0.01, texture: 0 },
  { label: 0, signal: 0.1, texture: 0.05 },
  { label: 2, signal: 0.57, texture: 0.03 },
  { label: 2, signal: 0.66, texture: 0.03 },
  { label: 1, signal: 1, texture: 0.02 },
  { label: 0, signal: 0.9, texture: 0.03 },
  { label: 0, signal: 0.45, texture: 0.15 },
  { label: 0, signal: 0.05, texture: 0.3 },
  { label: 0, signal: 0.74, texture: 0.25 },
  { label: 0, signal: 1.08, texture: 0.18 },
  { label: 0, signal: 0.57, texture: 0.16 },
  { label: 0, signal: 0.64, texture: 0.15 },
]
