import type { Dealer, Router } from 'zeromq'

/** Takes a socket's messages until it is closed. (Its own iterator makes three more promises for each.) */
export async function receiveEach(socket: Dealer | Router, take: (parts: Buffer[]) => void): Promise<void> {
  while (!socket.closed) {
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
