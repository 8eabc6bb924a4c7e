import { Dealer } from 'zeromq'
import { type Invite, inviteAddress } from './invite.js'
import { encodeZ85 } from './z85.js'

/** A connection that says itself by what routing id it wants to be known; undefined: it leaves that to the coordinator. */
export function dialAs(
  routingId: Buffer | undefined,
  invite: Invite,
  keys: { curvePublic: Buffer; curveSecret: Buffer },
): Dealer {
  const dealer = new Dealer({
    linger: 0,
    curvePublicKey: encodeZ85(keys.curvePublic),
    curveSecretKey: encodeZ85(keys.curveSecret),
    curveServerKey: encodeZ85(invite.curvePublic),
    // Its type says string; it takes bytes.
    ...(routingId ? { routingId: routingId as unknown as string } : {}),
  })
  // What happens before it is asked for is not kept: a handshake may be over before the caller listens.
  void dealer.events
  dealer.connect(inviteAddress(invite))
  return dealer
}

/** The routing id that libzmq gives so many connections later. */
export function idAfter(routingId: Buffer, connections: number): Buffer {
  const id = Buffer.from(routingId)
  id.writeUInt32BE((id.readUInt32BE(1) + connections) >>> 0, 1)
  return id
}
