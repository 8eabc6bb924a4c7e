export { allocate } from './allocate.js'
export { checkConformed } from './check-case.js'
export { type FoundCases, findCases } from './find-cases.js'
export { checkFoldChosen } from './folds.js'
export { checkGrids } from './grids.js'
export {
  type LabelMap,
  loadLabelMap,
  type MappedLabel,
  mapLabels,
  parseLabelMap,
  type Vocabulary,
} from './label-map.js'
export type { FindOptions, FoundCase, Layout, LayoutName } from './layouts/layout.js'
export { subjectOfName } from './layouts/subject-of-name.js'
export * from './manifest.js'
export { type Dataset, type LoadedCase, openDataset } from './open-dataset.js'
export { partitionSubjects, siteNames } from './partition.js'
export { prepareDataset } from './prepare-dataset.js'
export type { LeftOut, PrepareOptions, PrepareResult } from './prepare-options.js'
export { splitSubjects } from './split.js'
export * from './synthesis/index.js'
export { createVolumeReader, readHere, type VolumeReader } from './volume-reader.js'
