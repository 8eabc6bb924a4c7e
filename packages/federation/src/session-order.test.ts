import { expect, test } from 'vitest'
import { SessionOrder } from './session-order.js'

/** An order that notes what is done in it, and work of which a test says when it ends. */
function watched() {
  const done: string[] = []
  const errors: unknown[] = []
  const order = new SessionOrder((work) => {
    try {
      work()
    } catch (error) {
      errors.push(error)
    }
  })
  const now = (session: string, name: string): void => order.run(session, () => void done.push(name))
  const later = (session: string, name: string): { end(): Promise<void>; fail(error: Error): Promise<void> } => {
    let resolve!: (follow: () => void) => void
    let reject!: (error: Error) => void
    const promise = new Promise<() => void>((yes, no) => {
      resolve = yes
      reject = no
    })
    order.run(session, () => promise)
    const settled = async (): Promise<void> => {
      await promise.catch(() => undefined)
      await Promise.resolve()
    }
    return {
      end() {
        resolve(() => done.push(name))
        return settled()
      },
      fail(error) {
        reject(error)
        return settled()
      },
    }
  }
  return { order, done, errors, now, later }
}

test('what comes behind something that takes a while waits for it, in its session only', async () => {
  const { done, now, later } = watched()
  const first = later('a', 'first')
  const second = later('a', 'second')
  now('a', 'third')
  now('b', 'of another')
  expect(done).toEqual(['of another'])
  await second.end() // not begun yet: it is behind the first
  expect(done).toEqual(['of another'])
  await first.end()
  await Promise.resolve()
  expect(done).toEqual(['of another', 'first', 'second', 'third'])
  now('a', 'fourth')
  expect(done.at(-1)).toBe('fourth')
})

test('a session that has ended takes what is under way and what waits with it, and another of its name begins anew', async () => {
  const { order, done, now, later } = watched()
  const first = later('a', 'first')
  now('a', 'second')
  order.forget('a')
  now('a', 'of the new session')
  const third = later('a', 'third')
  now('a', 'fourth')
  await first.end()
  expect(done).toEqual(['of the new session'])
  await third.end()
  expect(done).toEqual(['of the new session', 'third', 'fourth'])
})

test('after the end nothing takes effect', async () => {
  const { order, done, now, later } = watched()
  const works = [later('a', 'first'), later('b', 'second')]
  now('b', 'third')
  order.close()
  for (const work of works) await work.end()
  expect(done).toEqual([])
})

test('an error of ours is not lost', async () => {
  const { errors, later } = watched()
  const error = new Error('ours')
  await later('a', 'first').fail(error)
  expect(errors).toEqual([error])
})

test('nothing more is read while 128 messages are held, whatever became of their sessions', async () => {
  const { order, now, later } = watched()
  const works = Array.from({ length: 64 }, (_, i) => later(`${i}`, 'update'))
  for (let i = 0; i < 63; i++) now(`${i}`, 'behind it')
  expect(order.relief).toBeUndefined()
  now('63', 'behind it')
  expect(order.isBusy).toBe(true)
  const relief = order.relief
  let isRelieved = false
  relief!.then(() => {
    isRelieved = true
  })
  order.forget('0')
  await Promise.resolve()
  expect(isRelieved).toBe(false)
  await works[0]!.end()
  await relief
  expect(order.relief).toBeUndefined()
  order.close()
  for (const work of works) await work.end()
  expect(order.relief).toBeUndefined()
  expect(order.isBusy).toBe(false)
})
