// First, and in a file without JSX, which would import React before it.
import './production.js'
import { render } from 'ink'
import { createElement } from 'react'
import { LiveApp, type LiveAppProps } from './live-app.js'
import type { Screen } from './screen.js'

export interface MountedApp {
  update(props: LiveAppProps): void
  unmount(): Promise<void>
}

/** Hands the screen and the keys to ink. */
export function mountApp(screen: Screen, stdin: NodeJS.ReadStream, props: LiveAppProps): MountedApp {
  const instance = render(createElement(LiveApp, props), {
    // Ink uses of a stream what Screen has: write, columns, rows, on and off.
    stdout: screen as unknown as NodeJS.WriteStream,
    stdin,
    exitOnCtrlC: false,
    patchConsole: false,
    maxFps: 1000,
  })
  return {
    update(next) {
      instance.rerender(createElement(LiveApp, next))
    },
    async unmount() {
      const exited = instance.waitUntilExit()
      instance.unmount()
      await exited
    },
  }
}
