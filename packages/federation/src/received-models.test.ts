import { StudySchema } from '@meshfl/core'
import { expect, test } from 'vitest'
import { encodeModelBody, keepModel } from './frame.js'
import { LAYOUT, randomModel } from './loopback.fixture.js'
import type { Header } from './messages.js'
import { ReceivedModels } from './received-models.js'

const welcome = { run: '', study: StudySchema.parse({}), layout: LAYOUT }
const task = (base: string): Header<'TASK'> => ({ v: 1, type: 'TASK', purpose: 'train', round: 1, base })

function receive(base: string, body: Uint8Array) {
  const models = new ReceivedModels()
  models.take(task(base), [body], welcome, () => true)
  return models.begin(base).model
}

test('the sites of one process hold the model that all of them are sent once', () => {
  const { model, sha256 } = keepModel(LAYOUT, randomModel('received', 1))
  const body = encodeModelBody(model)
  const first = receive(sha256, body.slice())
  expect(first).toEqual(model)
  expect(receive(sha256, body.slice())).toBe(first)
})

test('another model that goes by the hash of the last one is refused', () => {
  const { model, sha256 } = keepModel(LAYOUT, randomModel('received', 2))
  const body = encodeModelBody(model)
  receive(sha256, body.slice())
  const other = body.slice()
  other[0]! ^= 1
  expect(() => receive(sha256, other)).toThrow('the body')
})
