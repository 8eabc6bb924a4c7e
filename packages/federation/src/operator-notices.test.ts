import { afterEach, expect, test, vi } from 'vitest'
import type { Told } from './coordinator-state.js'
import { OperatorNotices } from './operator-notices.js'

afterEach(() => vi.useRealTimers())

test('when strangers stop, the next one is told at once, however long they went on; of a site it takes longer', () => {
  vi.useFakeTimers()
  const told: string[] = []
  const tell = (event: Told): void => {
    if (event.type === 'log') told.push(event.message)
  }
  const notices = new OperatorNotices({ tell, isKnown: (site) => site === 'site-1' })
  for (let second = 0; second < 900; second++) {
    for (let i = 0; i < 25; i++) {
      notices.refused(`a stranger's words ${second} ${i}`)
      notices.refused(`a site's words ${second} ${i}`, 'site-1')
    }
    vi.advanceTimersByTime(1000)
  }
  vi.advanceTimersByTime(6000)
  notices.refused('an invite that has expired')
  notices.refused('an update of another round', 'site-1')
  expect(told).toContain('an invite that has expired')
  expect(told).not.toContain('an update of another round')
})
