/** `host:port`, with an IPv6 address in brackets: as URLs, invites and people write it. */
export function formatHostPort({ host, port }: { host: string; port: number }): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
