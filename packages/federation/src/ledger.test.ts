import { canonicalJson, sha256 } from '@meshfl/core'
import { expect, test } from 'vitest'
import { createIdentity } from './identity.js'
import { NO_PREVIOUS, signUpdate, verifyLedger, verifyUpdate, writeLedgerLine } from './ledger.js'

const coordinator = createIdentity()
const site = createIdentity()
const hash = (text: string): string => sha256(text)

function makeLedger(rounds: number): string[] {
  const lines: string[] = []
  for (let round = 1; round <= rounds; round++) {
    const base = hash(`model ${round - 1}`)
    const claim = { run: hash('run'), round, site: 'a', base, samples: 3, update: hash(`update ${round}`) }
    const { run: _run, round: _round, base: _base, ...entry } = claim
    const key = site.signingPublic.toString('base64url')
    lines.push(
      writeLedgerLine(coordinator, {
        run: claim.run,
        round,
        base,
        result: hash(`model ${round}`),
        sites: [{ ...entry, key, signature: signUpdate(site, claim) }],
        leftOut: [],
        previous: round === 1 ? NO_PREVIOUS : hash(lines.at(-1)!),
      }),
    )
  }
  return lines
}

test('a ledger as it was written is right', () => {
  expect(verifyLedger(makeLedger(3), coordinator.signingPublic)).toEqual({ ok: true, rounds: 3 })
  expect(verifyLedger([], coordinator.signingPublic)).toEqual({ ok: true, rounds: 0 })
})

test('the same round gives the same line', () => {
  expect(makeLedger(2)).toEqual(makeLedger(2))
})

test.each<[string, (lines: string[]) => string[], RegExp]>([
  ['a changed number', (l) => [l[0]!, l[1]!.replace('"samples":3', '"samples":4'), l[2]!], /line 2: .*signature/],
  ['a missing line', (l) => [l[0]!, l[2]!], /line 2: it does not follow/],
  ['lines in another order', (l) => [l[1]!, l[0]!], /line 1: it does not follow/],
  ['a line twice', (l) => [l[0]!, l[0]!], /line 2: it does not follow/],
  ['a line that is cut short', (l) => [l[0]!.slice(0, 50)], /line 1: not JSON/],
  ['an unknown key', (l) => [l[0]!.replace('{', '{"x":1,')], /line 1/],
])('%s is found', (_, spoil, words) => {
  const verdict = verifyLedger(spoil(makeLedger(3)), coordinator.signingPublic)
  expect(verdict.ok).toBe(false)
  expect(verdict.problem).toMatch(words)
})

test('a site whose key needs no secret has signed nothing, though the coordinator signed that it has', () => {
  const neutral = Buffer.concat([Buffer.from([1]), Buffer.alloc(31)]) // the neutral point: R the same, S 0 is right for any message
  const signature = Buffer.concat([neutral, Buffer.alloc(32)]).toString('base64url')
  const [update, base, result] = [hash('u'), hash('0'), hash('1')]
  const sites = [{ site: 'a', key: neutral.toString('base64url'), update, samples: 3, signature }]
  const entry = { run: hash('run'), round: 1, base, result, sites, leftOut: [], previous: NO_PREVIOUS }
  expect(verifyLedger([writeLedgerLine(coordinator, entry)], coordinator.signingPublic)).toMatchObject({
    ...{ ok: false, problem: 'line 1: the signature of a is wrong' },
  })
})

test('a site’s update that it did not sign is found, though the coordinator did', () => {
  const claim = { run: hash('run'), round: 1, site: 'a', base: hash('0'), samples: 3, update: hash('u') }
  const line = writeLedgerLine(coordinator, {
    run: claim.run,
    round: 1,
    base: claim.base,
    result: hash('1'),
    sites: [
      {
        site: 'a',
        key: site.signingPublic.toString('base64url'),
        update: claim.update,
        samples: 4,
        signature: signUpdate(site, claim),
      },
    ],
    leftOut: [],
    previous: NO_PREVIOUS,
  })
  expect(verifyLedger([line], coordinator.signingPublic).problem).toMatch(/the signature of a is wrong/)
})

test('a step that no site had a batch for is right where it changes nothing, and only there', () => {
  const base = hash('model 0')
  const line = (result: string): string =>
    writeLedgerLine(coordinator, {
      ...{ run: hash('run'), round: 1, base, result, steps: 2, sites: [], leftOut: [], previous: NO_PREVIOUS },
    })
  expect(verifyLedger([line(base)], coordinator.signingPublic)).toEqual({ ok: true, rounds: 1 })
  expect(verifyLedger([line(hash('model 1'))], coordinator.signingPublic)).toMatchObject({
    ok: false,
    problem: 'line 1: it has another model and no update',
  })
})

test('another coordinator’s key does not verify it', () => {
  expect(verifyLedger(makeLedger(1), createIdentity().signingPublic).ok).toBe(false)
})

test('whichever byte of whichever field of a ledger is changed, the verdict names its round', () => {
  const lines = makeLedger(3)
  for (const [index, line] of lines.entries()) {
    for (let at = 0; at < line.length; at++) {
      // The lowest bit, and the case of a letter: what passes for the same in hexadecimal, base64 and JSON.
      for (const bit of [1, 0x20]) {
        const bytes = Buffer.from(line)
        bytes[at]! ^= bit
        const spoiled = lines.with(index, bytes.toString('utf8'))
        const verdict = verifyLedger(spoiled, coordinator.signingPublic)
        expect(verdict, `bit ${bit} of byte ${at} of line ${index + 1}`).toMatchObject({ ok: false, round: index + 1 })
      }
    }
  }
})

test('a space that JSON does not see is seen', () => {
  const [line] = makeLedger(1)
  const verdict = verifyLedger([line!.replace('{', '{ ')], coordinator.signingPublic)
  expect(verdict.problem).toMatch(/line 1: it is not as the coordinator writes it/)
})

test('what a site signs is canonical JSON, with and without what some rounds have beside', () => {
  const claim = { run: hash('run'), round: 1, site: 'a', base: hash('0'), samples: 3, update: hash('u') }
  for (const beside of [{}, { vectorSha256: hash('v') }, { voxels: 9 }, { voxels: 9, vectorSha256: hash('v') }]) {
    const text = `meshfl/1 update\0${canonicalJson({ ...claim, ...beside })}`
    const signature = site.sign(Buffer.from(text)).toString('base64url')
    expect(verifyUpdate(site.signingPublic, { ...claim, ...beside }, signature)).toBe(true)
  }
})
