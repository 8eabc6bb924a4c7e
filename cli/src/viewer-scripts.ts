/** Where the scripts of the page lie: beside the command line's bundle, which is made with them (`cli/bundle.js`). */
export function viewerScripts(): Record<string, URL> {
  const names = ['viewer-page.js', 'viewer-volume-stage.js']
  return Object.fromEntries(names.map((name) => [name, new URL(name, import.meta.url)]))
}
