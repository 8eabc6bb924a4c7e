import { MeshflError } from '@meshfl/core'

/** The subprotocol by which both ends of a tunnel know each other. */
export const SUBPROTOCOL = 'meshfl'

/**
 * The address of a coordinator's tunnel: `wss://host/path`, or `ws://` where no proxy in between adds TLS.
 * @throws MeshflError `TUNNEL_INVALID`
 */
export function parseTunnel(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url && (url.protocol === 'wss:' || url.protocol === 'ws:') && url.username === '' && url.hash === '') return url
  throw new MeshflError('TUNNEL_INVALID', `${JSON.stringify(text)} is no address of a tunnel`, {
    kind: 'usage',
    hint: 'write it as wss://trainer.example.org/meshfl',
  })
}
