import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { conditions: ['@meshfl/source'] },
  ssr: { resolve: { conditions: ['@meshfl/source'], externalConditions: ['@meshfl/source'] } },
  test: {
    include: ['packages/*/src/**/*.test.{ts,tsx}', 'cli/src/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    setupFiles: ['test/temporary-folder.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    onConsoleLog: () => true,
  },
})
