import { MeshflError } from '@meshfl/core'

/** `8080`, `127.0.0.1:8080` or `[::1]:8080`; without a host, the loopback. @throws MeshflError `LISTEN_INVALID` */
export function parseListen(text: string, option: string): { host: string; port: number } {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):)?(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (!match || port > 65_535) {
    throw new MeshflError('LISTEN_INVALID', `${option} ${text} is no host:port`, {
      kind: 'usage',
      hint: 'write it as 127.0.0.1:8080, or 8080 for this machine only',
    })
  }
  return { host: match[1] ?? match[2] ?? '127.0.0.1', port }
}
