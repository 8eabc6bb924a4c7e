/**
 * What is wrong with the names of a model's classes, in words; undefined when nothing is. Figures and files are kept by these
 * names, so that two classes of one name would be one.
 */
export function faultOfClassNames(names: readonly string[]): string | undefined {
  if (names.some((name) => name.trim() === '')) return 'a class has no name'
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) return `two classes are called ${twice}`
  // The mean over all classes but background has this name, in gates and in comparisons. Of one class it is that class's own figure.
  if (names.length > 2 && names.includes('foreground')) return 'a class cannot be called foreground beside others'
  return names.includes('__proto__') ? 'a class cannot be called __proto__' : undefined // no key of an object
}
