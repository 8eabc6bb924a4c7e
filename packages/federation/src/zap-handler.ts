import { randomBytes } from 'node:crypto'
import { type Context, Router } from 'zeromq'
import { IoBarrier } from './io-barrier.js'
import { SendQueue } from './send-queue.js'

export const ZAP_DOMAIN = 'meshfl'

export interface ZapOptions {
  /** Whether a CURVE key may connect at all. */
  admits(curvePublic: Buffer): boolean
  /** @param key undefined where it came with none */
  onRefused(address: string, key: Buffer | undefined): void
  /** Some could not be answered: they time out and dial again, and others are answered. */
  onFault(error: unknown): void
}

/**
 * Answers libzmq's question (ZAP, https://rfc.zeromq.org/spec/27/) whether a key may connect, and gives every connection that may
 * its routing id. A peer that chose its own could take that of another; and libzmq, which counts its own ids up from a number that
 * everybody knows, ends the process when one of them is taken.
 */
export async function serveZap(context: Context, options: ZapOptions): Promise<{ close(): Promise<void> }> {
  const handler = new Router({ context, linger: 0 })
  try {
    await handler.bind('inproc://zeromq.zap.01')
  } catch (error) {
    handler.close()
    throw error
  }
  const barrier = await IoBarrier.open(context)
  const replies = new SendQueue(handler, () => undefined)
  let waiting: Buffer[][] = []
  let answering: Promise<void> | undefined
  let isClosed = false
  const answer = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting
      waiting = []
      try {
        // Else what the peer says of itself, which libzmq reads when it has asked, would come after our answer and overrule it.
        if (!(await barrier.pass())) break
        for (const frames of batch) replies.push(frames)
      } catch (error) {
        if (!isClosed) options.onFault(error)
      }
    }
    answering = undefined
  }
  const serve = async (): Promise<void> => {
    for await (const frames of handler) {
      const end = frames.findIndex((frame) => frame.length === 0) + 1
      const [version, request, domain, address, , mechanism, key] = frames.slice(end)
      if (!request) continue
      const isAdmitted =
        version?.toString() === '1.0' &&
        domain?.toString() === ZAP_DOMAIN &&
        mechanism?.toString() === 'CURVE' &&
        key?.length === 32 &&
        options.admits(key)
      if (!isAdmitted) options.onRefused(address?.toString() ?? '?', key)
      const verdict = isAdmitted ? ['200', 'OK', 'admitted', newRoutingId()] : ['400', 'unknown key', '', '']
      waiting.push([...frames.slice(0, end), '1.0', request, ...verdict].map((frame) => Buffer.from(frame as string)))
      answering ??= answer()
    }
  }
  const served = serve()
  return {
    async close() {
      isClosed = true
      barrier.close()
      handler.close()
      await Promise.all([served, answering])
    },
  }
}

/** As the metadata of an answer: the name's length and the name, the value's length in four bytes and the value. */
function newRoutingId(): Buffer {
  return Buffer.concat([Buffer.from('\x08Identity\x00\x00\x00\x08', 'latin1'), randomBytes(8)])
}
