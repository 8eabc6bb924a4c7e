import { expect, test } from 'vitest'
import { type NativeSession, STATUS } from './addon.js'
import { NativeMachine } from './native-machine.js'

/** A session of the addon whose runs do not start: the system's limits, which a test cannot lower for itself alone. */
function withoutRuns(status: number) {
  const calls: string[] = []
  const session = {
    run() {
      throw Object.assign(new Error('Resource temporarily unavailable'), { status })
    },
    cancel: () => calls.push('cancel'),
    dispose: () => calls.push('dispose'),
  } as unknown as NativeSession
  return { machine: new NativeMachine(session, 2, { mostBytes: 1e9 }), calls }
}

test('a session whose run did not start is freed when it is disposed', async () => {
  const { machine, calls } = withoutRuns(STATUS.busy)
  await expect(machine.run(undefined)).rejects.toThrow(/temporarily unavailable/)
  machine.dispose()
  expect(calls).toEqual(['dispose'])
})

test('a run that the system starts no thread for says so', async () => {
  const { machine } = withoutRuns(STATUS.outOfMemory)
  await expect(machine.run(undefined)).rejects.toMatchObject({
    code: 'ENGINE_THREADS',
    message: 'the system has no room for 1 thread: Resource temporarily unavailable',
  })
})
