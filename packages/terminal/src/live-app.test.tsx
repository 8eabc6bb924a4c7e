import { render } from 'ink-testing-library'
import { expect, test } from 'vitest'
import { drawFrame, frameLines } from './frame.js'
import { LiveApp } from './live-app.js'
import { createPaint, UNICODE } from './palette.js'
import { initialView, reduceView } from './view-state.js'

const time = '2026-01-02T03:04:05.000Z'

test.each([
  [60, 18],
  [80, 24],
  [100, 40],
])('ink shows the lines of a frame of %i by %i as they are', (columns, rows) => {
  let view = reduceView(
    initialView(0),
    {
      type: 'run-started',
      time,
      command: 'join',
      run: 'gw3',
      rounds: 9,
      sites: 1,
      engine: 'cpu',
      device: 'AVX-512',
      path: '/r',
    },
    1,
  )
  view = reduceView(view, { type: 'step', time, site: 'site-1', round: 1, step: 3, steps: 9, loss: 0.5 }, 2)
  view = reduceView(view, { type: 'log', time, level: 'warn', message: '脳 is 🧠' }, 3)
  const frame = drawFrame(view, {
    title: 'meshfl join',
    coordinator: 'tcp://host:5555',
    columns,
    rows,
    nowMs: 4,
    paint: createPaint(false),
    glyphs: UNICODE,
    interaction: {
      panel: 'run',
      keys: true,
      canPause: false,
      paused: false,
      quitting: false,
      question: null,
      final: false,
    },
  })
  const { lastFrame, unmount } = render(<LiveApp frame={frame} keys={false} onKey={() => {}} />)
  const shown = frameLines(frame).map((line) => line.trimEnd())
  expect(lastFrame()?.split('\n')).toEqual(shown)
  expect(shown.join('\n')).toContain('coordinator tcp://host:5555')
  expect(shown.join('\n')).toContain('3/9  0.5000')
  unmount()
})
