// Stands in for zarrita, which NiiVue imports, in the page: see cli/bundle.js.
export {}
