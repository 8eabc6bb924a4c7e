import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { StudySchema } from '@meshfl/core'
import { expect, test } from 'vitest'
import { Admissions, type IssuedInvite } from './admissions.js'
import { Approvals } from './approvals.js'
import { createIdentity } from './identity.js'
import { describeFake } from './loopback.fixture.js'

const study = StudySchema.parse({ rounds: 1 })
const soon = new Date(Date.now() + 3_600_000)
const keys = (identity = createIdentity()) => ({
  signingKey: identity.signingPublic.toString('base64url'),
  curveKey: identity.curvePublic.toString('base64url'),
})

/** One approved site that is to change its keys, and the invite for that. */
async function rotating(): Promise<{ folder: string; admissions: Admissions; invite: IssuedInvite }> {
  const folder = mkdtempSync(join(tmpdir(), 'meshfl-admissions-'))
  const admissions = Admissions.open(folder)
  const [first] = await admissions.issueInvites(1, soon)
  await admissions.approve(keys(), first!, describeFake('site-1'), new Date())
  const [invite] = await admissions.issueInvites(1, soon, { site: 'site-1' })
  await admissions.beginRotation('site-1')
  return { folder, admissions, invite: invite! }
}

test('a site that is revoked takes its invite for new keys with it, also on disk', async () => {
  const { folder, admissions, invite } = await rotating()
  await admissions.revoke('site-1', new Date())
  for (const each of [admissions, Admissions.open(folder)]) {
    expect(each.invite(invite.keys.id)).toBeUndefined()
    expect(each.admits(invite.keys.curvePublic, new Date())).toBe(false)
    expect(each.unusedInvites(new Date())).toEqual([])
  }
  expect(readFileSync(join(folder, 'keys', 'invites.json'), 'utf8')).not.toContain('site-1')
})

test('an invite for new keys that a crash left behind is no invite for the next site of that name', async () => {
  const { folder, admissions, invite } = await rotating()
  const path = join(folder, 'keys', 'invites.json')
  const before = readFileSync(path)
  await admissions.revoke('site-1', new Date())
  writeFileSync(path, before)
  expect(Admissions.open(folder).invite(invite.keys.id)).toBeUndefined()
})

test('who asks with an invite for new keys of a site that is revoked meanwhile is refused, whoever approves', async () => {
  const { admissions, invite } = await rotating()
  let approve: (isApproved: boolean) => void = () => undefined
  const approvals = new Approvals({
    admissions,
    study,
    approve: () =>
      new Promise((resolve) => {
        approve = resolve
      }),
    track: (writing) => writing,
    onEngineChanged: () => undefined,
    onFailed: () => undefined,
  })
  const applicant = { ...createIdentity(), invite: invite.keys.id }
  const { signingKey, curveKey } = keys(applicant)
  const heavier = describeFake('site-1', { trainCases: 99_999 })
  const verdict = approvals.verdict({ ...applicant, curveKey }, heavier, invite)
  await admissions.revoke('site-1', new Date())
  approve(true)
  expect(await verdict).toMatchObject({ code: 'SITE_REVOKED' })
  expect(admissions.sites).toEqual([])
  expect(admissions.refuse(describeFake('site-1'), signingKey, study, invite)).toMatchObject({ code: 'SITE_REVOKED' })
})

test('what is being asked about a site’s new keys is answered with no when that site’s invite is taken back', async () => {
  const { admissions, invite } = await rotating()
  let isAsked = true
  const approvals = new Approvals({
    admissions,
    study,
    approve: ({ signal }) => {
      signal.addEventListener('abort', () => {
        isAsked = false
      })
      return new Promise(() => undefined)
    },
    track: (writing) => writing,
    onEngineChanged: () => undefined,
    onFailed: () => undefined,
  })
  const applicant = { ...createIdentity(), invite: invite.keys.id }
  const verdict = approvals.verdict({ ...applicant, ...keys(applicant) }, describeFake('site-1'), invite)
  approvals.withdraw('site-1')
  expect(await verdict).toMatchObject({ code: 'FEDERATION_DENIED' })
  expect([isAsked, approvals.pending]).toEqual([false, []])
})
