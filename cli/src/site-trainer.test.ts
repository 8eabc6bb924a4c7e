import { expect, test } from 'vitest'
import { cacheBeside } from './site-trainer.js'

test.each([
  ['as many as were asked for where they fit', 20e9, 2e9, 2e9],
  ['what a session leaves where they do not', 20e9, 20e9, 4.73e9],
  ['none beside a session that takes all of it', 25e9, 2e9, 0],
  ['none where none were asked for', 20e9, 0, 0],
])('of 25 GB of memory volumes may take %s', (_, session, asked, most) => {
  expect(cacheBeside(session, asked, 25e9) / 1e9).toBeCloseTo(most / 1e9, 2)
})
