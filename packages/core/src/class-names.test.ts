import { describe, expect, test } from 'vitest'
import { faultOfClassNames } from './class-names.js'

describe('the names of classes', () => {
  test.each([
    [['background', 'white matter', 'grey matter'], undefined],
    [['background', 'foreground'], undefined],
    [['background', 'a', ' '], 'a class has no name'],
    [['background', 'a', 'a'], 'two classes are called a'],
    [['background', 'foreground', 'a'], 'a class cannot be called foreground beside others'],
    [['background', '__proto__'], 'a class cannot be called __proto__'],
  ])('%j: %s', (names, fault) => expect(faultOfClassNames(names)).toBe(fault))
})
