import { DISCLAIMER } from '../format.js'
import { html, Markup } from './markup.js'
import { STYLE } from './style.js'

/**
 * One file that needs no network and runs no script; its content policy forbids both.
 * @param tool name and version of what made it
 */
export function pageShell(title: string, tool: string, main: Markup): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<style>${new Markup(STYLE)}</style>
</head>
<body>
<main>
${main}
</main>
<footer><p>${DISCLAIMER} Made by ${tool}.</p></footer>
</body>
</html>
`.text
}

/** A moment of ISO 8601, for a reader. */
export function dateText(created: string): string {
  const date = new Date(created)
  if (Number.isNaN(date.getTime())) return created
  const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeStyle: 'short', timeZone: 'UTC' }).format(date)
  return `${day} UTC`
}
