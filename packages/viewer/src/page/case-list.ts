import type { PageScene } from '../page-data.js'
import { element } from './element.js'

export interface CaseList {
  readonly root: HTMLElement
  /** Marks the case that is shown. */
  mark(index: number): void
}

/** The cases of a dataset, to choose from, and a field that narrows them. */
export function caseList(scenes: readonly PageScene[], onChoose: (index: number) => void): CaseList {
  const search = element('input', { type: 'search', autocomplete: 'off', spellcheck: 'false' })
  const items = scenes.map((scene, index) => {
    const words = Object.values(scene.facts).join(', ')
    const button = element(
      'button',
      { type: 'button' },
      scene.title,
      element('small', {}, words),
      scene.notes.length > 0
        ? element(
            'small',
            { class: 'found' },
            `${scene.notes.length} ${scene.notes.length === 1 ? 'finding' : 'findings'}`,
          )
        : null,
    )
    button.addEventListener('click', () => onChoose(index))
    const text = [scene.title, words, ...scene.notes].join(' ').toLowerCase()
    return { button, item: element('li', {}, button), text }
  })
  search.addEventListener('input', () => {
    const wanted = search.value.toLowerCase().split(/\s+/)
    for (const { item, text } of items) item.hidden = !wanted.every((word) => text.includes(word))
  })
  return {
    root: element(
      'nav',
      { class: 'list', 'aria-label': 'Cases' },
      element('label', {}, `${scenes.length} cases`, search),
      element('ul', {}, ...items.map(({ item }) => item)),
    ),
    mark(index) {
      for (const [i, { button }] of items.entries()) {
        if (i === index) {
          button.setAttribute('aria-current', 'true')
          button.scrollIntoView({ block: 'nearest' })
        } else button.removeAttribute('aria-current')
      }
    },
  }
}
