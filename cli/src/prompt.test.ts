import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { createPrompt } from './prompt.js'

function open() {
  const [input, output] = [new PassThrough(), new PassThrough()]
  const seen: string[] = []
  output.on('data', (text) => seen.push(String(text)))
  const prompt = createPrompt(input as unknown as NodeJS.ReadStream, output, () => true)
  const shows = (text: string) => vi.waitFor(() => expect(seen.join('')).toContain(text))
  const ask = (question: string, signal = new AbortController().signal) => prompt.ask(question, signal)
  return { input, prompt, shows, ask, seen }
}

test('one question stands there at a time, and an answer is that to one question', async () => {
  const { input, ask, shows, seen } = open()
  const [first, second] = [ask('admit site-1?'), ask('admit site-2?')]
  await shows('admit site-1? [y/N] ')
  await sleep(100)
  expect(seen.join('')).not.toContain('site-2')
  input.write('y\n')
  expect(await first).toBe(true)
  await shows('admit site-2? [y/N] ')
  input.write('\n')
  expect(await second).toBe(false)
})

test('what was typed before the question stood there is no answer to it', async () => {
  const { input, ask, shows } = open()
  input.write('y\n')
  const asked = ask('admit site-1?')
  await shows('admit site-1?')
  input.write('n\n')
  expect(await asked).toBe(false)
})

test('a question that was answered elsewhere goes, and the next one comes', async () => {
  const { input, ask, shows } = open()
  const known = new AbortController()
  const [gone, next] = [ask('admit site-1?', known.signal), ask('admit site-2?')]
  await shows('admit site-1?')
  known.abort()
  expect(await gone).toBeUndefined()
  await shows('admit site-2?')
  input.write('yes\n')
  expect(await next).toBe(true)
})

test('nobody has answered where the command or the input ends', async () => {
  const ended = open()
  const asked = [ended.ask('admit site-1?'), ended.ask('admit site-2?')]
  await ended.shows('admit site-1?')
  ended.prompt.close()
  expect(await Promise.all(asked)).toEqual([undefined, undefined])

  const closed = open()
  const unanswered = closed.ask('admit site-1?')
  await closed.shows('admit site-1?')
  closed.input.end()
  expect(await unanswered).toBeUndefined()
})
