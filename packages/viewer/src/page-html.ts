const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

/** The page before its script has filled it. */
export function pageHtml(title: string): string {
  const name = title.replace(/[&<>"']/g, (character) => ENTITIES[character]!)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="dark">
<title>${name} – meshfl view</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="page.css">
<script type="module" src="viewer-page.js"></script>
</head>
<body>
<header><h1>${name}</h1><nav id="documents" aria-label="Reports" hidden></nav><p class="aside">For research; not a medical device.</p></header>
<noscript><p class="notice">This page draws volumes and curves with a script, which is switched off.</p></noscript>
<div id="notes"></div>
<main id="main"><p class="aside" role="status">Loading …</p></main>
</body>
</html>
`
}
