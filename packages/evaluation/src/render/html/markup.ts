import { escapeMarkup } from '../escape.js'

/** Text that is already markup. Only `html` makes it, so nothing that came from a file gets onto a page unescaped. */
export class Markup {
  constructor(readonly text: string) {}
}

type Part = Markup | string | number | undefined | readonly Part[]

/** A template whose values are escaped, unless they are markup themselves. Arrays are joined; undefined is nothing. */
export function html(strings: TemplateStringsArray, ...values: Part[]): Markup {
  return new Markup(strings.reduce((text, string, i) => text + textOf(values[i - 1]) + string))
}

function textOf(value: Part): string {
  if (value === undefined) return ''
  if (value instanceof Markup) return value.text
  if (typeof value === 'string') return escapeMarkup(value)
  if (typeof value === 'number') return String(value)
  return value.map(textOf).join('')
}
