import { randomBytes } from 'node:crypto'
import { expect, test, vi } from 'vitest'
import { codeOf, Ephemeral, isCode } from './session-key.js'

vi.mock('node:crypto', async (load) => ({
  ...(await load<typeof import('node:crypto')>()),
  generateKeyPairSync: () => {
    throw new Error('a key that this made may lock up the thread that exports it')
  },
}))

const transcript = randomBytes(32)

test('both ends of a login agree on a key, and nobody else does', () => {
  const [site, coordinator, other] = [new Ephemeral(), new Ephemeral(), new Ephemeral()]
  const key = site.agree(coordinator.nonce, transcript)!
  expect(coordinator.agree(site.nonce, transcript)).toEqual(key)
  expect(other.agree(site.nonce, transcript)).not.toEqual(key)
  expect(site.agree(coordinator.nonce, randomBytes(32))).not.toEqual(key)
})

test.each([
  ['zero', Buffer.alloc(32)],
  ['one', Buffer.from('01'.padEnd(64, '0'), 'hex')],
  ['of order eight', Buffer.from('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800', 'hex')],
])('a nonce with which anybody could compute the key (%s) is refused', (_, point) => {
  expect(new Ephemeral().agree(point.toString('base64url'), transcript)).toBeUndefined()
})

test('a code is of one key and one digest', () => {
  const [key, digest] = [randomBytes(32), randomBytes(32)]
  const code = codeOf(key, digest)
  expect(isCode(key, digest, code)).toBe(true)
  expect(isCode(randomBytes(32), digest, code)).toBe(false)
  expect(isCode(key, randomBytes(32), code)).toBe(false)
  expect(isCode(key, digest, code.subarray(1))).toBe(false)
})
