import type { PageContent, PageDocument, RunState } from '../page-data.js'
import { caseList } from './case-list.js'
import { element } from './element.js'
import { fetchJson, ServerError, whenChanged } from './fetch-data.js'
import { runView } from './run-view.js'
import { sceneView } from './scene-view.js'

const POLL_MS = 2000

function place(id: string): HTMLElement {
  return document.getElementById(id)!
}

async function start(): Promise<void> {
  const content = await fetchJson<PageContent>('content.json')
  const { documents, notes, scenes } = content
  place('notes').replaceChildren(...notes.map((note) => element('p', { class: 'notice' }, note)))
  showDocuments(documents)
  const parts: HTMLElement[] = []
  if (content.kind === 'run') {
    const view = runView(content.classColours)
    parts.push(view.root)
    void follow(({ figures, documents: now }) => {
      view.show(figures)
      showDocuments(now)
    })
  }
  if (scenes.length > 0) parts.push(showScenes(content))
  place('main').replaceChildren(...parts)
}

function showDocuments(documents: readonly PageDocument[]): void {
  place('documents').hidden = documents.length === 0
  place('documents').replaceChildren(
    ...documents.map(({ title, href }) => element('a', { href, target: '_blank', rel: 'noopener' }, title)),
  )
}

function showScenes(content: PageContent): HTMLElement {
  let shown = 0
  const last = content.scenes.length - 1
  const open = (index: number): void => {
    shown = index
    list?.mark(index)
    void view.open(index)
  }
  const view = sceneView(content, (by) => open(Math.min(last, Math.max(0, shown + by))))
  const list = last > 0 ? caseList(content.scenes, open) : undefined
  if (list) {
    view.root.classList.add('cases')
    view.root.prepend(list.root)
  }
  window.addEventListener(
    'keydown',
    (event) => {
      const target = event.target instanceof Element ? event.target : document.body
      if (target.matches('input, .legend') || event.ctrlKey || event.metaKey || event.altKey) return
      // Below curves, the page scrolls with the same keys.
      if (content.kind === 'run' && !view.root.contains(target)) return
      // NiiVue has keys of its own on the canvas, some of them for the same.
      if (view.onKey(event.key)) event.preventDefault()
      if (event.key !== 'Tab') event.stopPropagation()
    },
    { capture: true },
  )
  // When it is in the page, and has its size.
  queueMicrotask(() => open(0))
  return view.root
}

/** Asks for the figures again and again while somebody can see them, and says so when nobody answers. */
async function follow(onState: (state: RunState) => void): Promise<never> {
  const notice = element('p', { class: 'notice bad', role: 'status', hidden: true })
  place('notes').append(notice)
  const ask = whenChanged<RunState>('run.json')
  for (;;) {
    try {
      const state = await ask()
      notice.hidden = true
      if (state !== undefined) onState(state)
    } catch (error) {
      notice.hidden = false
      notice.textContent =
        error instanceof ServerError
          ? error.message
          : 'meshfl view no longer answers: what is shown is its last. Start it again to go on.'
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    await whenVisible()
  }
}

async function whenVisible(): Promise<void> {
  while (document.hidden)
    await new Promise((resolve) => document.addEventListener('visibilitychange', resolve, { once: true }))
}

start().catch((error: unknown) => {
  place('main').replaceChildren(element('p', { class: 'notice bad' }, String((error as Error).message)))
})
