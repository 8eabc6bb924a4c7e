import type { Dealer, Router } from 'zeromq'

/**
 * Takes a socket's messages until it is closed. (Its own iterator makes three more promises for each.)
 * @param relief what the next one waits for; undefined: nothing
 */
export async function receiveEach(
  socket: Dealer | Router,
  take: (parts: Buffer[]) => void,
  relief?: () => Promise<void> | undefined,
): Promise<void> {
  while (!socket.closed) {
    const waiting = relief?.()
    if (waiting) {
      await waiting
      continue
    }
    let parts: Buffer[]
    try {
      parts = (await socket.receive()) as Buffer[]
    } catch (error) {
      if (socket.closed && (error as NodeJS.ErrnoException).code === 'EAGAIN') return
      throw error
    }
    take(parts)
  }
}
