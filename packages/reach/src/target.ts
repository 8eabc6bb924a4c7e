/** A TCP port somewhere. */
export interface Target {
  host: string
  port: number
}

/** `host:port`, with an IPv6 address in brackets. */
export function formatTarget({ host, port }: Target): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
