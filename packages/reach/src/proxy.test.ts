import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatProxy, parseProxy, proxiesOfEnvironment } from './proxy.js'

describe('the address of a proxy', () => {
  test.each([
    ['socks5://proxy.example.org', { kind: 'socks5', host: 'proxy.example.org', port: 1080 }],
    ['socks5h://10.0.0.1:9050', { kind: 'socks5', host: '10.0.0.1', port: 9050 }],
    ['http://proxy.example.org', { kind: 'http', host: 'proxy.example.org', port: 3128 }],
    ['http://proxy.example.org:80/', { kind: 'http', host: 'proxy.example.org', port: 80 }],
    ['http://[::1]:8080', { kind: 'http', host: '::1', port: 8080 }],
    ['http://a%40b:c%3Ad@proxy:1', { kind: 'http', host: 'proxy', port: 1, username: 'a@b', password: 'c:d' }],
    ['http://u:100%pass%41@proxy:1', { kind: 'http', host: 'proxy', port: 1, username: 'u', password: '100%passA' }],
    ['http://u:%e4@proxy:1', { kind: 'http', host: 'proxy', port: 1, username: 'u', password: '%e4' }],
  ])('%s is understood', (text, proxy) => {
    expect(parseProxy(text)).toEqual(proxy)
  })

  test.each(['', 'proxy:3128', 'https://proxy', 'ftp://proxy', 'http://', 'http://proxy/path'])(
    '%j is refused with a hint',
    (text) => {
      expect(() => parseProxy(text)).toThrow(expect.objectContaining({ code: 'PROXY_INVALID', kind: 'usage' }))
    },
  )

  test('a refused address is not repeated, for it may hold a password', () => {
    expect(() => parseProxy('https://user:secret@proxy')).toThrow(/^(?!.*secret)/)
  })

  test('a written address is read again, but for its password', () => {
    const host = fc.oneof(fc.domain(), fc.ipV4())
    const port = fc.integer({ min: 1, max: 65_535 })
    const username = fc.option(fc.string({ minLength: 1 }), { nil: undefined })
    fc.assert(
      fc.property(fc.constantFrom('socks5' as const, 'http' as const), host, port, username, (kind, name, at, user) => {
        const proxy = { kind, host: name, port: at, ...(user === undefined ? {} : { username: user }) }
        expect(parseProxy(formatProxy({ ...proxy, password: 'secret' }))).toEqual(proxy)
      }),
    )
  })

  test('the environment names each proxy once, and what is written for other programs is passed over', () => {
    const env = {
      https_proxy: 'http://proxy:3128',
      HTTP_PROXY: 'http://proxy:3128',
      ALL_PROXY: 'socks5://socks:1080',
      HTTPS_PROXY: '',
    }
    expect(proxiesOfEnvironment(env).map(formatProxy)).toEqual(['socks5://socks:1080', 'http://proxy:3128'])
    expect(proxiesOfEnvironment({ HTTPS_PROXY: 'https://proxy', ALL_PROXY: 'nonsense' })).toEqual([])
  })
})
