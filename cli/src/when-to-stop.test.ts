import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

const file = new URL('../build/when-to-stop.js', import.meta.url).href

/** How a process ends that was stopped by a SIGHUP and gets a signal once more when its command has ended. */
function endOf(again: string): { status: number | null; signal: string | null } {
  const script = `
    import { listenForStops } from ${JSON.stringify(file)}
    const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
    const stopped = new Promise((resolve) => {
      const end = listenForStops(() => undefined, () => { process.exitCode = 130; end(); resolve() })
    })
    process.kill(process.pid, 'SIGHUP')
    const alive = setTimeout(() => undefined, 5000)
    await stopped
    clearTimeout(alive)
    process.kill(process.pid, '${again}')
    await wait(50)
  `
  const { status, signal } = spawnSync(process.execPath, ['--input-type=module', '--eval', script])
  return { status, signal }
}

test.skipIf(process.platform === 'win32')(
  'the end of a terminal that is told again when the command has ended does not change how the process ends',
  () => {
    expect(endOf('SIGHUP')).toEqual({ status: 130, signal: null })
    expect(endOf('SIGTERM')).toEqual({ status: null, signal: 'SIGTERM' })
  },
)
