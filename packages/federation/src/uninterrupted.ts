const PATIENCE_MS = 1000

/**
 * Calls libzmq again where a signal came in between (EINTR): a child that ended, a window that changed its size, a profiler.
 * zeromq.js does so itself where it binds, sends and receives, but not where it connects a socket or begins to watch one. What an
 * interrupted attempt to watch one had bound is in use (EADDRINUSE) until another thread has closed it, moments later.
 */
export function uninterrupted<T>(call: () => T): T {
  const until = performance.now() + PATIENCE_MS
  for (;;) {
    try {
      return call()
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if ((code !== 'EINTR' && code !== 'EADDRINUSE') || performance.now() > until) throw error
    }
  }
}
