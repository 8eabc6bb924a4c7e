/** All that XML 1.0 cannot hold, escaped or not: control characters and halves of surrogate pairs. */
const NOT_XML = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** Text for HTML and XML, between tags or inside a quoted attribute. What XML cannot hold becomes U+FFFD. */
export function escapeMarkup(value: string): string {
  return value.replace(NOT_XML, '\ufffd').replace(/[&<>"']/g, (character) => ENTITIES[character]!)
}

/** Text for one cell of a Markdown table: one line, no markup, no link, no mention. */
export function escapeMarkdown(value: string): string {
  // All at once: what an entity is made of is not to be escaped again.
  return value
    .replace(/\s+/g, ' ')
    .replace(NOT_XML, '\ufffd')
    .replace(/[&<>"'\\`*_{}[\]()#+!|~@:]/g, (character) => ENTITIES[character] ?? `&#${character.charCodeAt(0)};`)
}

/** The first characters of a text that may be of any length. */
export function shorten(value: string, length: number): string {
  const characters = Array.from(value.length > 4 * length ? value.slice(0, 4 * length) : value)
  return characters.length <= length ? characters.join('') : `${characters.slice(0, length - 1).join('')}…`
}
