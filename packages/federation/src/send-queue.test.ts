import { expect, test } from 'vitest'
import { SendQueue } from './send-queue.js'

const text = (words: string): Uint8Array[] => [Buffer.from(words)]

/** A socket that notes what is sent by it, and fails where a message says so. */
function watched() {
  const sent: string[] = []
  const socket = {
    async send([frame]: Uint8Array[]) {
      const words = Buffer.from(frame!).toString()
      if (words === 'unreachable') throw Object.assign(new Error('no such peer'), { code: 'EHOSTUNREACH' })
      sent.push(words)
    },
  }
  return { sent, socket }
}

test('a message that cannot be made is told, and those behind it and later ones are sent', async () => {
  const { sent, socket } = watched()
  const faults: unknown[] = []
  const queue = new SendQueue(
    socket,
    () => undefined,
    (error) => faults.push(error),
  )
  const fault = new Error('a header too long')
  queue.push(() => {
    throw fault
  })
  queue.push(text('behind it'))
  await new Promise((resolve) => setImmediate(resolve))
  queue.push(() => text('later'))
  await queue.close()
  expect(faults).toEqual([fault])
  expect(sent).toEqual(['behind it', 'later'])
})

test('a peer that is gone is named with what it was sent, and whatever that brings about, others are sent to', async () => {
  const { sent, socket } = watched()
  const faults: unknown[] = []
  const fault = new Error('the machine does not know it')
  const queue = new SendQueue(
    socket,
    (_, code) => {
      expect(code).toBe('EHOSTUNREACH')
      throw fault
    },
    (error) => faults.push(error),
  )
  for (const words of ['unreachable', 'another']) queue.push(text(words))
  await queue.close()
  expect([faults, sent]).toEqual([[fault], ['another']])
})
