export * from './reference/activation.js'
export * from './reference/cross-entropy.js'
export * from './reference/network.js'
export * from './reference/reference-engine.js'
