import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createIdentity, curvePublicKey, fingerprint } from './identity.js'
import { enrolmentKeys, formatInvite, inviteAddress, isProof, parseInvite } from './invite.js'
import { encodeZ85 } from './z85.js'

test('an invite comes back from its text', () => {
  const { curvePublic, signingPublic } = createIdentity()
  for (const host of ['trainer.example.org', '10.0.0.7', 'fe80::1']) {
    const invite = { host, port: 5555, curvePublic, signingPublic, secret: randomBytes(16) }
    const text = formatInvite(invite)
    expect(text).toMatch(/^mfl1:[^/]+\/[A-Za-z0-9_-]{86}\/[A-Za-z0-9_-]{22}$/)
    expect(parseInvite(`  ${text}\n`)).toEqual(invite)
    expect(parseInvite(`meshfl join ${text} --data <dataset>\n`)).toEqual(invite)
    expect(() => parseInvite(`${text}\n${text}\n`)).toThrow(/there are 2 invites in it/)
  }
  expect(inviteAddress({ host: 'fe80::1', port: 1, curvePublic, signingPublic, secret: randomBytes(16) })).toBe(
    'tcp://[fe80::1]:1',
  )
})

test('any other text is refused with its code', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map((text) => `mfl1:${text}`),
      ),
      (text) => {
        expect(() => parseInvite(text)).toThrow(expect.objectContaining({ code: 'INVITE_MALFORMED' }))
      },
    ),
  )
})

test('both ends derive the same from a secret, and nothing of it from another', () => {
  const secret = randomBytes(16)
  const [a, b, other] = [enrolmentKeys(secret), enrolmentKeys(secret), enrolmentKeys(randomBytes(16))]
  expect(a.id).toBe(b.id)
  expect(a.curveSecret.equals(b.curveSecret)).toBe(true)
  expect(curvePublicKey(a.curveSecret).equals(a.curvePublic)).toBe(true)
  const transcript = randomBytes(32)
  expect(isProof(b, transcript, a.prove(transcript))).toBe(true)
  expect(isProof(b, randomBytes(32), a.prove(transcript))).toBe(false)
  expect(isProof(other, transcript, a.prove(transcript))).toBe(false)
  expect(isProof(a, transcript, new Uint8Array())).toBe(false)
})

test('keys are written as ZeroMQ writes them', () => {
  // The RFC's own example: https://rfc.zeromq.org/spec/32/
  expect(encodeZ85(Buffer.from('864fd26fb559f75b', 'hex'))).toBe('HelloWorld')
})

test('a fingerprint is short enough to read out', () => {
  expect(fingerprint(Buffer.alloc(32))).toMatch(/^([0-9a-f]{4}-){7}[0-9a-f]{4}$/)
})
