import type { Case } from '@meshfl/dataset'
import { expect, test } from 'vitest'
import { createCaseLoader } from './case-loader.js'

const named = (id: string): Case => ({ id }) as Case

function counting(bytes = 8) {
  const loads: string[] = []
  const loadCase = async ({ id }: Case) => {
    loads.push(id)
    return { image: new Uint8Array(bytes), label: new Uint8Array(bytes) }
  }
  return { loads, loadCase }
}

test('a case that fits the budget is loaded once', async () => {
  const { loads, loadCase } = counting()
  const loader = createCaseLoader(loadCase, 16)
  expect(await loader.load(named('a'))).toBe(await loader.load(named('a')))
  expect(loads).toEqual(['a'])
  expect(loader.cachedBytes).toBe(16)
})

test('what does not fit is loaded again, and what was kept stays', async () => {
  const { loads, loadCase } = counting()
  const loader = createCaseLoader(loadCase, 16)
  for (const id of ['a', 'b', 'a', 'b']) await loader.load(named(id))
  expect(loads).toEqual(['a', 'b', 'b'])
})

test('a case that was prefetched is not loaded twice', async () => {
  const { loads, loadCase } = counting()
  const loader = createCaseLoader(loadCase, 0)
  loader.prefetch(named('a'))
  loader.prefetch(named('a'))
  await loader.load(named('a'))
  expect(loads).toEqual(['a'])
})

test('a failed prefetch is told to who asks for the case, who may ask again', async () => {
  let broken = true
  const { loadCase } = counting()
  const loader = createCaseLoader(async (item) => {
    if (broken) throw new Error('disk')
    return loadCase(item)
  }, 0)
  loader.prefetch(named('a'))
  await expect(loader.load(named('a'))).rejects.toThrow('disk')
  broken = false
  await expect(loader.load(named('a'))).resolves.toBeDefined()
})
