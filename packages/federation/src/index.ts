export * from './site-trainer.js'
