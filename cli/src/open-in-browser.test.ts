import { chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { openInBrowser, tunnelCommand } from './open-in-browser.js'

const SSH = { SSH_CONNECTION: '10.0.0.1 50000 10.0.0.2 22' }

test.skipIf(process.platform === 'win32')(
  'a browser is opened by xdg-open where there is a display, and nowhere else (Windows has no xdg-open)',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'meshfl-open-'))
    const opener = join(folder, 'xdg-open')
    writeFileSync(opener, `#!/bin/sh\nprintf %s "$1" > ${folder}/opened\n`)
    chmodSync(opener, 0o755)
    expect(openInBrowser('http://x/', { PATH: folder })).toBe(false)
    expect(openInBrowser('http://x/', { PATH: `${folder}/none:.`, DISPLAY: ':0' })).toBe(false)
    expect(existsSync(join(folder, 'opened'))).toBe(false)
    expect(openInBrowser('http://x/', { PATH: folder, WAYLAND_DISPLAY: 'wayland-0' })).toBe(true)
    await vi.waitFor(() => expect(readFileSync(join(folder, 'opened'), 'utf8')).toBe('http://x/'), 5000)
  },
)

test('a tunnel goes to the address that ssh was told, and there is none without ssh', () => {
  expect(tunnelCommand(4711, SSH, () => 'ada')).toBe('ssh -N -L 4711:127.0.0.1:4711 ada@10.0.0.2')
  expect(tunnelCommand(4711, {}, () => 'ada')).toBeUndefined()
})

test('an account without a name, as in a container, is asked for only over ssh, and left out there', () => {
  expect(tunnelCommand(4711, SSH, () => undefined)).toBe('ssh -N -L 4711:127.0.0.1:4711 10.0.0.2')
  const nobody = (): never => {
    throw new Error('asked')
  }
  expect(tunnelCommand(4711, {}, nobody)).toBeUndefined()
})
