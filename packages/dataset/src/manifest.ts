import { z } from 'zod'

export const SplitSchema = z.enum(['train', 'valid', 'test'])
export type Split = z.infer<typeof SplitSchema>

/** One scan of a prepared dataset, with its label. Paths are relative to the dataset's folder. */
export const CaseSchema = z.strictObject({
  /** Unique in the dataset, and the stem of its files: the subject, and the session where it has several. */
  id: z.string(),
  subject: z.string(),
  /** Of a dataset with folds `train` for all but `test`: what it is in a fold says `foldOf`. */
  split: SplitSchema,
  /** The fold, from 0, whose validation it is; absent for test cases and for a dataset without folds. */
  fold: z.int().min(0).optional(),
  /** The site that holds it; absent for test cases and for a dataset that was not partitioned. */
  site: z.string().optional(),
  image: z.string(),
  label: z.string(),
  /** SHA-256 of the conformed voxels. */
  imageSha256: z.string(),
  labelSha256: z.string(),
  /** The volume that it was made from: what a prediction needs to go back to native space. */
  source: z.strictObject({
    image: z.string(),
    label: z.string(),
    shape: z.tuple([z.int(), z.int(), z.int()]),
    /** Row-major 4x4, voxel to RAS millimetres. */
    affine: z.array(z.number()).length(16),
  }),
  /** Voxels of each class in the label. */
  voxels: z.array(z.int()),
  columns: z.record(z.string(), z.string()).default({}),
})
export type Case = z.infer<typeof CaseSchema>

export const FindingSchema = z.strictObject({
  level: z.enum(['info', 'warning', 'error']),
  code: z.string(),
  message: z.string(),
  subject: z.string().optional(),
})
export type Finding = z.infer<typeof FindingSchema>

export const ClassSchema = z.strictObject({ value: z.int(), name: z.string() })

/** dataset.json. Same input and seed, same bytes: it holds no time and no path of the machine that made it. */
export const DatasetManifestSchema = z.strictObject({
  format: z.literal('meshfl-dataset/1'),
  tool: z.string(),
  name: z.string(),
  seed: z.int(),
  /** The column whose values are in all splits alike; absent where the split knows no strata. */
  stratify: z.string().optional(),
  /** Folds of a cross-validation; absent where train and valid are fixed. */
  folds: z.int().min(2).optional(),
  /** The site whose part this is; absent at the root of a dataset. */
  site: z.string().optional(),
  /** Names of the sites under sites/, in order. */
  sites: z.array(z.string()),
  partition: z.string(),
  conform: z.strictObject({
    mode: z.enum(['freesurfer', 'niivue', 'none']),
    version: z.int(),
    /** Voxels along x, y, z of every volume. */
    shape: z.tuple([z.int(), z.int(), z.int()]),
    voxelSizeMm: z.number(),
    orientation: z.string(),
  }),
  labelMap: z.strictObject({ name: z.string(), classes: z.array(ClassSchema) }),
  cases: z.array(CaseSchema),
  findings: z.array(FindingSchema),
})
export type DatasetManifest = z.infer<typeof DatasetManifestSchema>
