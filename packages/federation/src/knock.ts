import type { Invite } from './invite.js'
import { enrolmentKeys } from './invite.js'
import { openDealer } from './zeromq-dealer.js'

/** What answers where a coordinator should be. */
export type KnockOutcome =
  /** The invite's coordinator, and it admits the invite's key. */
  | 'admitted'
  /** The invite's coordinator, but it does not admit the key: the invite has expired or was taken back. */
  | 'refused'
  /** Someone who holds other keys, or no coordinator at all. */
  | 'stranger'
  | 'silence'

const MOST_MESSAGE_BYTES = 1 << 16

/**
 * Makes an encrypted connection with an invite's key and closes it: nobody is enrolled, and the invite stays unused.
 * @param address of ZeroMQ: `tcp://host:port`
 * @param signal ends the wait with `silence`
 * @throws MeshflError `INVITE_MALFORMED` when the address is none
 */
export async function knockAtCoordinator(invite: Invite, address: string, signal: AbortSignal): Promise<KnockOutcome> {
  const { curvePublic, curveSecret } = enrolmentKeys(invite.secret)
  let answer: (outcome: KnockOutcome) => void = () => undefined
  const answered = new Promise<KnockOutcome>((resolve) => {
    answer = resolve
  })
  const dealer = openDealer({
    address,
    serverPublic: invite.curvePublic,
    curve: { curvePublic, curveSecret },
    maxMessageBytes: MOST_MESSAGE_BYTES,
    onConnected: () => answer('admitted'),
    onRefused: () => answer('refused'),
    onHandshakeFailed: () => answer('stranger'),
    onDisconnected: () => undefined,
    onUnsent: () => undefined,
    onMessage: () => undefined,
  })
  const stop = (): void => answer('silence')
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  try {
    return await answered
  } finally {
    signal.removeEventListener('abort', stop)
    await dealer.close()
  }
}
