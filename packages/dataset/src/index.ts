export * from './manifest.js'
export * from './synthesis/index.js'
