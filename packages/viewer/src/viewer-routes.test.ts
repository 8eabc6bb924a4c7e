import fc from 'fast-check'
import { expect, test } from 'vitest'
import { routeRequest } from './viewer-routes.js'

const token = 'AbCdEfGhIjKlMnOpQrStUv'
const names = new Set(['', 'content.json', 'scenes/0/image.nii'])
const served = { token, port: 4711, names }
const asked = (url: string) => ({ method: 'GET', url, host: '127.0.0.1:4711' })

test('a name of the list is found behind the token, whatever stands in the query', () => {
  for (const name of names) {
    expect(routeRequest(asked(`/${token}/${name}`), served)).toEqual({ resource: name })
    expect(routeRequest(asked(`/${token}/${name}?x=/../..`), served)).toEqual({ resource: name })
  }
})

test('no other address is answered with anything', () => {
  const piece = fc.oneof(
    fc.constantFrom(
      '..',
      '.',
      '',
      '%2e%2e',
      '%2f',
      '\\',
      token,
      'content.json',
      'scenes',
      '0',
      'image.nii',
      '\0',
      '?',
      '#',
    ),
    fc.constantFrom(
      '/etc/passwd',
      'http://127.0.0.1:4711',
      token.toLowerCase(),
      token.slice(1),
      '__proto__',
      'toString',
    ),
    fc.string({ unit: 'binary', maxLength: 12 }),
  )
  const url = fc.array(piece, { maxLength: 8 }).map((pieces) => `/${pieces.join('/')}`)
  fc.assert(
    fc.property(fc.oneof(url, fc.string({ unit: 'binary' })), (text) => {
      const expected = [...names].find((name) => text.split('?')[0] === `/${token}/${name}`)
      const routed = routeRequest(asked(text), served)
      expect(routed).toEqual(expected === undefined ? { status: 404 } : { resource: expected })
    }),
    { numRuns: 2000 },
  )
})

test('no other name of a host is answered', () => {
  fc.assert(
    fc.property(fc.option(fc.oneof(fc.string(), fc.domain()), { nil: undefined }), fc.boolean(), (name, withPort) => {
      const host = withPort && name !== undefined ? `${name}:4711` : name
      fc.pre(host !== '127.0.0.1:4711' && host !== 'localhost:4711')
      expect(routeRequest({ ...asked(`/${token}/`), host }, served)).toEqual({ status: 403 })
    }),
  )
})

test('on port 80 a browser names no port', () => {
  const request = { ...asked(`/${token}/`), host: 'localhost' }
  expect(routeRequest(request, { ...served, port: 80 })).toEqual({ resource: '' })
  expect(routeRequest(request, served)).toEqual({ status: 403 })
})
