import { expect, test } from 'vitest'
import { classFileNames } from './prediction-names.js'

test.each([
  [
    ['background', 'white matter', 'grey matter'],
    ['background', 'white-matter', 'grey-matter'],
  ],
  [
    ['Hintergrund', 'weiße Substanz', '灰质', '白质'],
    ['Hintergrund', 'weiße-Substanz', '灰质', '白质'],
  ],
  [
    ['background', 'left/white', 'left white', 'Left White', '+', '-'],
    ['background', 'left-white-1', 'left-white-2', 'Left-White-3', 'class-4', 'class-5'],
  ],
])('the classes %j have each a file name of its own', (classNames, files) => {
  expect(classFileNames(classNames)).toEqual(files)
})
