import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { conditions: ['@meshfl/source'] },
  ssr: { resolve: { conditions: ['@meshfl/source'], externalConditions: ['@meshfl/source'] } },
  test: {
    include: ['packages/*/src/**/*.test.{ts,tsx}', 'cli/src/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    setupFiles: ['test/temporary-folder.ts', 'test/equal-bytes.ts'],
    // What is drawn depends on it: elsewhere a view is drawn in ASCII.
    env: { LC_ALL: 'C.UTF-8' },
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    onConsoleLog: () => true,
  },
})
