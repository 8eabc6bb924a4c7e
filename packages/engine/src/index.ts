export * from './engine.js'
export * from './initialize.js'
export * from './layout.js'
