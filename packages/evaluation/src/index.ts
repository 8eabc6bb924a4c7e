export * from './confusion.js'
