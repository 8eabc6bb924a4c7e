import { MeshflError } from '@meshfl/core'
import type { Region } from './request.js'

export type Values = Uint8Array | Float32Array | Float64Array

/** What computes for a session: memory and threads, of WebAssembly or native. Requests are those of `requestWords`. */
export interface Machine {
  readonly threads: number
  /** Most bytes that a session may hold. */
  readonly mostBytes: number
  /** Bytes that a run takes, which may be more than there can be. */
  plan(request: Uint32Array): number
  /** Lays out the memory for a run of so many bytes. Throws what the system says when it has no more. */
  prepare(request: Uint32Array, bytes: number): void
  /** A key stands for the same values of the region as long as the machine lives: one with memory of its own may keep them there. */
  write(region: Region, values: Values, key?: number): void
  read(region: Region, to: Values): void
  /** Runs what was prepared and written; gives its `OUTCOME`, and rejects with the signal's reason when it is aborted. */
  run(signal: AbortSignal | undefined): Promise<number>
  /** Ends a run in progress, which is rejected with `ENGINE_DISPOSED`, and frees everything. */
  dispose(): void
}

export const disposed = (): MeshflError =>
  new MeshflError('ENGINE_DISPOSED', 'the session was disposed', { hint: 'create another session' })
