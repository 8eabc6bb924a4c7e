import { bytesOf } from '@meshfl/core'
import { disposed, type Machine, type Values } from '../session/machine.js'
import { REGIONS, type Region } from '../session/request.js'
import { type Kernels, PAGE_BYTES, STACK_BYTES } from './kernels.js'
import { WasmTeam } from './team.js'

/** One shared memory, and workers that run the kernels in it. */
export class WasmMachine implements Machine {
  readonly #kernels: Kernels
  readonly #team: WasmTeam
  #memory: WebAssembly.Memory | undefined

  constructor(
    module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    kernels: Kernels,
    readonly threads: number,
    readonly mostBytes: number,
  ) {
    this.#memory = memory
    this.#kernels = kernels
    this.#growTo(memory, this.#stacksEnd())
    this.#team = new WasmTeam(module, memory, kernels, threads)
  }

  plan(request: Uint32Array): number {
    new Uint32Array(this.#held().buffer, this.#kernels.mfl_request(), request.length).set(request)
    return this.#kernels.mfl_plan(this.#stacksEnd())
  }

  prepare(request: Uint32Array, bytes: number): void {
    this.plan(request)
    this.#growTo(this.#held(), bytes)
  }

  write(region: Region, values: Values): void {
    this.#bytes(region, values.byteLength).set(bytesOf(values))
  }

  read(region: Region, to: Values): void {
    bytesOf(to).set(this.#bytes(region, to.byteLength))
  }

  run(signal: AbortSignal | undefined): Promise<number> {
    return this.#team.run(signal)
  }

  dispose(): void {
    this.#team.dispose()
    this.#memory = undefined
  }

  #stacksEnd(): number {
    return this.#kernels.__heap_base.value + this.threads * STACK_BYTES
  }

  #growTo(memory: WebAssembly.Memory, bytes: number): void {
    const missing = Math.ceil((bytes - memory.buffer.byteLength) / PAGE_BYTES)
    if (missing > 0) memory.grow(missing)
  }

  #bytes(region: Region, length: number): Uint8Array {
    return new Uint8Array(this.#held().buffer, this.#kernels.mfl_offset(REGIONS.indexOf(region)), length)
  }

  #held(): WebAssembly.Memory {
    if (!this.#memory) throw disposed()
    return this.#memory
  }
}
