import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import { formatHostPort, MeshflError } from '@meshfl/core'
import { curvePublicKey } from './identity.js'

/** What a site needs to join: where the coordinator is, both of its public keys, and a secret for one site. */
export interface Invite {
  host: string
  port: number
  /** Raw 32 bytes: the CURVE key of the coordinator's socket. */
  curvePublic: Buffer
  /** Raw 32 bytes: the Ed25519 key that signs all it says. */
  signingPublic: Buffer
  /** 16 random bytes. */
  secret: Buffer
}

/** What both ends derive from an invite's secret. */
export interface EnrolmentKeys {
  /** Names the invite without telling its secret. */
  id: string
  curvePublic: Buffer
  curveSecret: Buffer
  /** Proves over a login's transcript that the secret is known. */
  prove(transcript: Uint8Array): Buffer
}

/** What every invite begins with, and no site's name has: a name is a file's, and has no colon. */
export const INVITE_PREFIX = 'mfl1:'

/** `mfl1:<host:port>/<server keys>/<one-time secret>`. */
export function formatInvite(invite: Invite): string {
  const keys = Buffer.concat([invite.curvePublic, invite.signingPublic]).toString('base64url')
  return `${INVITE_PREFIX}${formatHostPort(invite)}/${keys}/${invite.secret.toString('base64url')}`
}

/**
 * The invite that a text holds: by itself, or in the line that the coordinator prints.
 * @throws MeshflError `INVITE_MALFORMED`
 */
export function parseInvite(text: string): Invite {
  const words = text.split(/\s+/).filter((word) => word.startsWith(INVITE_PREFIX))
  if (words.length > 1) {
    throw new MeshflError('INVITE_MALFORMED', `there are ${words.length} invites in it, and each is for one site`, {
      kind: 'usage',
      hint: 'give this site the one that is meant for it',
    })
  }
  const match = /^mfl1:(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})\/([A-Za-z0-9_-]{86})\/([A-Za-z0-9_-]{22})$/.exec(
    words[0] ?? '',
  )
  const port = Number(match?.[2])
  if (!match || port < 1 || port > 65_535) {
    throw new MeshflError('INVITE_MALFORMED', 'this is no invite: it must look like mfl1:host:port/key/secret', {
      kind: 'usage',
      hint: 'copy the whole line that the coordinator printed, without quotes or line breaks inside',
    })
  }
  const keys = Buffer.from(match[3]!, 'base64url')
  return {
    host: match[1]!.replace(/^\[|\]$/g, ''),
    port,
    curvePublic: keys.subarray(0, 32),
    signingPublic: keys.subarray(32),
    secret: Buffer.from(match[4]!, 'base64url'),
  }
}

/** The ZeroMQ address of an invite's coordinator. */
export function inviteAddress(invite: Invite): string {
  return `tcp://${formatHostPort(invite)}`
}

/** HKDF-SHA256 of an invite's secret: its name, the CURVE key it connects with, and the key of its proof. */
export function enrolmentKeys(secret: Uint8Array): EnrolmentKeys {
  const derive = (purpose: string, bytes: number): Buffer =>
    Buffer.from(hkdfSync('sha256', secret, 'meshfl invite/1', purpose, bytes))
  const curveSecret = derive('curve', 32)
  const proofKey = derive('proof', 32)
  return {
    id: derive('id', 8).toString('hex'),
    curvePublic: curvePublicKey(curveSecret),
    curveSecret,
    prove: (transcript) => createHmac('sha256', proofKey).update(transcript).digest(),
  }
}

/** Whether a proof is that of the invite's secret over this transcript; takes the same time for every wrong one. */
export function isProof(keys: EnrolmentKeys, transcript: Uint8Array, proof: Uint8Array): boolean {
  const expected = keys.prove(transcript)
  return proof.length === expected.length && timingSafeEqual(proof, expected)
}
