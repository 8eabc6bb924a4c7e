import { expect, test } from 'vitest'
import { checkSitesOfProcess } from './sites-of-process.js'

test('too few open files for the sites of one process are named with the number that is needed', () => {
  expect(() => checkSitesOfProcess(1000, 0, 8256)).not.toThrow()
  expect(() => checkSitesOfProcess(1000, 0, Number.POSITIVE_INFINITY)).not.toThrow()
  expect(() => checkSitesOfProcess(1000, 0, 8255)).toThrow(
    '1000 sites in one process need 8256 open files, it may have 8255',
  )
  expect(() => checkSitesOfProcess(1000, 257, 8512)).toThrow(
    '1000 sites with their figures, metrics and tunnels in one process need 8513 open files, it may have 8512',
  )
})

test('more sites than libzmq has sockets for are refused', () => {
  expect(() => checkSitesOfProcess(20_000, 0, Number.POSITIVE_INFINITY)).toThrow(
    /more than the 16379 that one process can hold/,
  )
})
