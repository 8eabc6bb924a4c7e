import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { explainReadError } from '@meshfl/core'
import type { Reader } from './kept-readings.js'
import type { ImageInfo, PageContent, PageDocument, RunState } from './page-data.js'
import { pageHtml } from './page-html.js'
import { PAGE_STYLE } from './page-style.js'
import { createSceneVolumes, type PageVolume } from './scene-volumes.js'
import type { ViewerContent } from './viewer-content.js'

/** What a path under the token answers with. */
export interface Resource {
  type: string
  policy: string
  /** @param isWanted whether the one who asked still waits for it */
  body(isWanted: () => boolean): Promise<Body>
}

export interface Body {
  content: Uint8Array | string
  /** What tells it from others: who has it already is answered without it. */
  etag?: string
}

/** Nothing from elsewhere. NiiVue keeps the letters that it draws in a data URL. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  'img-src data:',
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/**
 * Reports hold their style and pictures, and run no script. In a sandbox they have an origin of their own, cannot ask for what else is
 * served, and lead nowhere by themselves; a link leads where it says, to whoever follows it.
 */
const DOCUMENT_POLICY = [
  "default-src 'none'",
  'img-src data:',
  "style-src 'unsafe-inline'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  'sandbox',
].join('; ')

/** All that is served, by its path under the token: a list that grows by the reports of a run as they are written. */
export function viewerResources(
  content: ViewerContent,
  scripts: Readonly<Record<string, URL>>,
  volume: number | undefined,
): Map<string, Resource> {
  const all = new Map<string, Resource>()
  const add = (name: string, type: string, body: Resource['body'], policy = PAGE_POLICY): void =>
    void all.set(name, { type, policy, body })
  const json = (name: string, value: (isWanted: () => boolean) => unknown): void =>
    add(name, 'application/json', async (isWanted) => ({ content: JSON.stringify(await value(isWanted)) }))
  const volumes = createSceneVolumes(volume)
  const addVolume = (name: string, path: string, read: Reader<PageVolume<ImageInfo>>): void => {
    json(`${name}.json`, async (isWanted) => (await read(path, isWanted)).info)
    add(`${name}.nii`, 'application/octet-stream', async (isWanted) => {
      const { nifti, info } = await read(path, isWanted)
      return { content: nifti, etag: `"${info.version}"` }
    })
  }

  add('', 'text/html; charset=utf-8', async () => ({ content: pageHtml(content.title) }))
  add('page.css', 'text/css; charset=utf-8', async () => ({ content: PAGE_STYLE }))
  for (const [name, url] of Object.entries(scripts))
    add(name, 'text/javascript; charset=utf-8', () =>
      readFile(url).then(
        (script) => ({ content: script }),
        (error) => Promise.reject(explainReadError(error, url.pathname)),
      ),
    )
  const hrefs = new Map<string, string>()
  /** A report that has come since gets a name of its own in the list; the names that others have stay theirs. */
  const listDocuments = (): PageDocument[] =>
    (content.documents?.() ?? []).map(({ title, path }) => {
      const href = hrefs.get(path) ?? `documents/${hrefs.size}.html`
      hrefs.set(path, href)
      const read = () =>
        readFile(path).then(
          (report) => ({ content: report }),
          (error) => Promise.reject(explainReadError(error, path)),
        )
      add(href, 'text/html; charset=utf-8', read, DOCUMENT_POLICY)
      return { title, href }
    })
  listDocuments()
  json('content.json', () => pageContent(content, listDocuments()))
  const { run } = content
  if (run) {
    // Asked for again and again.
    add('run.json', 'application/json', async () => {
      const text = JSON.stringify({ figures: run(), documents: listDocuments() } satisfies RunState)
      return { content: text, etag: `"${createHash('sha256').update(text).digest('hex')}"` }
    })
  }
  for (const [i, scene] of content.scenes.entries()) {
    addVolume(`scenes/${i}/image`, scene.image, volumes.image)
    for (const [k, label] of scene.labels.entries()) addVolume(`scenes/${i}/labels/${k}`, label.path, volumes.label)
  }
  return all
}

function pageContent(content: ViewerContent, documents: PageDocument[]): PageContent {
  return {
    kind: content.kind,
    title: content.title,
    scenes: content.scenes.map(({ title, facts, labels, notes }) => ({
      title,
      facts: { ...facts },
      labels: labels.map((label) => ({ title: label.title, classNames: { ...label.classNames } })),
      notes: [...(notes ?? [])],
    })),
    documents,
    notes: [...(content.notes ?? [])],
    classColours: [...content.classColours],
  }
}
