import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { encodeNifti, parseVolume } from '@meshfl/volume'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LabelInfo, PageContent, RunState } from './page-data.js'
import { createRunGatherer } from './run-figures.js'
import type { ViewerContent } from './viewer-content.js'
import { startViewer, type ViewerServer } from './viewer-server.js'

const folder = mkdtempSync(join(tmpdir(), 'meshfl-viewer-'))
const AFFINE = [2, 0, 0, -2, 0, 2, 0, -2, 0, 0, 2, -2, 0, 0, 0, 1]
const IMAGE = Int16Array.from([0, 100, 200, 300, 400, 500, 600, 700])
/** FreeSurfer's codes: left and right white matter, and one beyond a byte. */
const LABEL = Int16Array.from([0, 2, 2, 41, 41, 41, 1001, 0])
let server: ViewerServer
let figures = createRunGatherer().figures(0)

beforeAll(async () => {
  const file = async (name: string, voxels: Int16Array): Promise<string> => {
    const path = join(folder, name)
    writeFileSync(path, await encodeNifti({ shape: [2, 2, 2], affine: AFFINE, voxels }, { gzip: true }))
    return path
  }
  writeFileSync(join(folder, 'viewer-page.js'), 'start()')
  writeFileSync(join(folder, 'report.html'), '<!doctype html><p>report')
  writeFileSync(join(folder, 'secret.txt'), 'secret')
  const content: ViewerContent = {
    kind: 'image',
    title: 'a <scan>',
    scenes: [
      {
        title: 'scan',
        image: await file('scan.nii.gz', IMAGE),
        labels: [
          { title: 'truth', path: await file('label.nii.gz', LABEL), classNames: { 2: 'white' } },
          { title: 'gone', path: join(folder, 'gone.nii.gz') },
        ],
      },
    ],
    documents: () =>
      ['report', 'later']
        .map((title) => ({ title, path: join(folder, `${title}.html`) }))
        .filter(({ path }) => existsSync(path)),
    run: () => figures,
    classColours: ['#ff0000'],
  }
  server = await startViewer({
    content,
    scripts: { 'viewer-page.js': pathToFileURL(join(folder, 'viewer-page.js')) },
  })
})
afterAll(() => server.close())

interface Answer {
  status: number
  headers: IncomingMessage['headers']
  body: Buffer
}

/** As it stands, without what fetch does to paths. */
function ask(
  path: string,
  options: { method?: string; host?: string; etag?: string | undefined } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = {
      ...(options.host === undefined ? {} : { host: options.host }),
      ...(options.etag === undefined ? {} : { 'if-none-match': options.etag }),
    }
    request({ host: '127.0.0.1', port: server.port, path, method: options.method ?? 'GET', headers }, (response) => {
      const parts: Buffer[] = []
      response.on('data', (part) => parts.push(part))
      response.on('end', () =>
        resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(parts) }),
      )
    })
      .on('error', reject)
      .end()
  })
}

const base = (): string => new URL(server.url).pathname
const read = async <T>(name: string): Promise<T> => JSON.parse(String((await ask(base() + name)).body)) as T

describe('who is answered', () => {
  test('whoever has the address, which has 128 random bits', async () => {
    expect(Buffer.from(base().slice(1, -1), 'base64url')).toHaveLength(16)
    expect((await ask(base())).status).toBe(200)
  })

  test.each(['/', '/content.json', '//content.json', `/${'x'.repeat(22)}/`])(
    'not %s, which lacks the token',
    async (path) => expect((await ask(path)).status).toBe(404),
  )

  test('not who asks under a name that merely points here', async () => {
    for (const host of ['evil.example', `evil.example:${server.port}`, '127.0.0.1:1', `127.0.0.1.evil:${server.port}`])
      expect((await ask(base(), { host })).status).toBe(403)
    expect((await ask(base(), { host: `localhost:${server.port}` })).status).toBe(200)
    // As ssh -L from another port does.
    const { body } = await ask(base(), { host: '127.0.0.1:1' })
    expect(String(body)).toContain(`open it as http://127.0.0.1:${server.port}/`)
  })

  test('not who wants to write', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])
      expect((await ask(base(), { method })).status).toBe(405)
  })

  test('not who names a file that is not in the list', async () => {
    for (const path of [
      ...['secret.txt', '../secret.txt', '..%2fsecret.txt', '%2e%2e/secret.txt', 'documents/../../secret.txt'],
      ...['documents/1.html', 'scenes/1/image.nii', 'scenes/0/labels/2.nii', 'scenes/-1/image.nii', '__proto__'],
      ...['constructor', join(folder, 'secret.txt'), `file://${folder}/secret.txt`, 'page.css%00'],
    ])
      expect((await ask(base() + path)).status, path).toBe(404)
  })

  test('nothing of another origin', async () => {
    const { headers } = await ask(`${base()}content.json`)
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([])
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
      'cross-origin-resource-policy': 'same-origin',
    })
  })
})

describe('what is answered', () => {
  test('a page that loads nothing from elsewhere, with names as text', async () => {
    const { headers, body } = await ask(base())
    expect(headers['content-security-policy']).toContain("default-src 'none'; script-src 'self'; style-src 'self'")
    expect(headers['content-security-policy']).not.toMatch(/unsafe|https?:/)
    expect(String(body)).toContain('<h1>a &lt;scan&gt;</h1>')
    expect(String(body)).not.toMatch(/(?:src|href)="(?:https?:)?\/\//)
  })

  test('its content, without the paths of this machine', async () => {
    const { body } = await ask(`${base()}content.json`)
    expect(String(body)).not.toContain(folder)
    const content: PageContent = JSON.parse(String(body))
    expect(content.scenes[0]!.labels[0]).toEqual({ title: 'truth', classNames: { 2: 'white' } })
  })

  test('the scan as NIfTI with the values of its file', async () => {
    const { headers, body } = await ask(`${base()}scenes/0/image.nii`)
    expect(Number(headers['content-length'])).toBe(body.length)
    const volume = parseVolume(body, 'image', { kind: 'image' })
    expect([...volume.voxels]).toEqual([...IMAGE])
    expect(volume.affine).toEqual(AFFINE)
  })

  test('a label map as places in the list of its values, each with its volume', async () => {
    const info = await read<LabelInfo>('scenes/0/labels/0.json')
    // A voxel of 2 mm has 0.008 mL.
    expect(info.values).toEqual([
      { value: 0, voxels: 2, ml: 0.016 },
      { value: 2, voxels: 2, ml: 0.016 },
      { value: 41, voxels: 3, ml: 0.024 },
      { value: 1001, voxels: 1, ml: 0.008 },
    ])
    const { voxels } = parseVolume((await ask(`${base()}scenes/0/labels/0.nii`)).body, 'label', { kind: 'label' })
    expect([...voxels].map((rank) => info.values[rank]!.value)).toEqual([...LABEL])
  })

  test('a volume with the version that goes with what is told of it', async () => {
    for (const name of ['scenes/0/image', 'scenes/0/labels/0']) {
      const { version } = await read<LabelInfo>(`${name}.json`)
      expect((await ask(`${base()}${name}.nii`)).headers.etag).toBe(`"${version}"`)
    }
  })

  test('the error of a file that is gone, and the others go on', async () => {
    const { status, body } = await ask(`${base()}scenes/0/labels/1.nii`)
    expect(status).toBe(500)
    expect(JSON.parse(String(body))).toMatchObject({ code: 'FILE_NOT_FOUND' })
    expect((await ask(`${base()}scenes/0/image.json`)).status).toBe(200)
  })

  test('a report, in which no script may run', async () => {
    const { headers, body } = await ask(`${base()}documents/0.html`)
    expect(String(body)).toBe('<!doctype html><p>report')
    expect(headers['content-security-policy']).not.toContain('script-src')
    expect(headers['content-security-policy']).toContain("default-src 'none'")
    // Without it, a refresh in the page would lead the browser elsewhere.
    expect(headers['content-security-policy']).toMatch(/; sandbox$/)
  })

  test('a report that was written since, to whoever asks what there is', async () => {
    expect((await ask(`${base()}documents/1.html`)).status).toBe(404)
    writeFileSync(join(folder, 'later.html'), '<p>later')
    const { documents } = await read<RunState>('run.json')
    expect(documents.map(({ title }) => title)).toEqual(['report', 'later'])
    expect((await read<PageContent>('content.json')).documents).toEqual(documents)
    expect(String((await ask(base() + documents[1]!.href)).body)).toBe('<p>later')
  })

  test('to whoever asks for figures again only what has changed', async () => {
    const { etag } = (await ask(`${base()}run.json`)).headers
    const same = await ask(`${base()}run.json`, { etag })
    expect([same.status, same.body.length]).toEqual([304, 0])
    figures = { ...figures, round: 1 }
    const next = await ask(`${base()}run.json`, { etag })
    expect([next.status, JSON.parse(String(next.body)).figures.round]).toEqual([200, 1])
  })

  test('to HEAD the same without its body', async () => {
    const path = `${base()}scenes/0/image.nii`
    const [head, get] = [await ask(path, { method: 'HEAD' }), await ask(path)]
    expect(head.body).toHaveLength(0)
    expect(head.headers['content-length']).toBe(get.headers['content-length'])
  })
})

test('a port that is taken is told', async () => {
  const content: ViewerContent = { kind: 'image', title: 'x', scenes: [], classColours: [] }
  await expect(startViewer({ content, scripts: {}, port: server.port })).rejects.toMatchObject({ code: 'BIND_FAILED' })
})

test('it ends at once while connections are open', async () => {
  const content: ViewerContent = { kind: 'image', title: 'x', scenes: [], classColours: [] }
  const other = await startViewer({ content, scripts: {} })
  const idle = connect(other.port, '127.0.0.1')
  const ended = new Promise((resolve) => idle.on('close', resolve).on('error', () => undefined))
  await new Promise((resolve) => idle.on('connect', resolve))
  idle.write('GET / HTTP/1.1\r\n')
  const begin = Date.now()
  await other.close()
  await ended
  expect(Date.now() - begin).toBeLessThan(2000)
})

test('whoever does not say what it wants is not waited for much longer than was said', async () => {
  const content: ViewerContent = { kind: 'image', title: 'x', scenes: [], classColours: [] }
  const other = await startViewer({ content, scripts: {}, patienceMs: 100 })
  const idle = connect(other.port, '127.0.0.1')
  const begin = Date.now()
  idle.write('GET / HTTP/1.1\r\n')
  await new Promise((resolve) =>
    idle
      .on('close', resolve)
      .on('error', () => undefined)
      .resume(),
  )
  expect(Date.now() - begin).toBeLessThan(5000)
  await other.close()
})
