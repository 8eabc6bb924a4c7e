import { expect, test } from 'vitest'
import { checkManySites, openTransportContext } from './transport-context.js'

test('a context for many sites has sockets for all of them', () => {
  expect(openTransportContext(1).maxSockets).toBeGreaterThanOrEqual(1023)
})

test('too few open files for the sites of one process are named with the number that is needed', () => {
  expect(() => checkManySites(1000, 8256)).not.toThrow()
  expect(() => checkManySites(1000, undefined)).not.toThrow()
  expect(() => checkManySites(1000, 8255)).toThrow('1000 sites in one process need 8256 open files, it may have 8255')
})

test('more sites than libzmq has sockets for are refused', () => {
  expect(() => checkManySites(20_000, undefined)).toThrow(/more than the 16379 that one process can hold/)
})
