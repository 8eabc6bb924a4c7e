export * from './class-names.js'
export * from './csv-cell.js'
export * from './early-stop.js'
export * from './errors.js'
export * from './event-log.js'
export * from './events.js'
export { explainReadError, explainWriteError, fileNotFound, mayPass, systemErrorName } from './file-errors.js'
export * from './files.js'
export {
  type FolderLock,
  type FolderLockOptions,
  isLockedElsewhere,
  LOCK_FILE,
  LOCK_TOUCH_MS,
  lockFolder,
} from './folder-lock.js'
export * from './hash.js'
export * from './host-port.js'
export * from './memory-bytes.js'
export * from './model.js'
export * from './model-file.js'
export * from './package-file.js'
export * from './random.js'
export * from './safetensors.js'
export * from './site-trainer.js'
export * from './some-of.js'
export * from './strategy.js'
export * from './study.js'
export * from './units.js'
