export const WASM_ABI_VERSION = 1
export const PAGE_BYTES = 65536
/** What 32-bit addresses can reach. */
export const MOST_BYTES = 65536 * PAGE_BYTES
export const STACK_BYTES = 262144

/** What the kernels export. */
export interface Kernels {
  mfl_abi_version(): number
  mfl_request(): number
  mfl_cancel_flag(): number
  mfl_plan(start: number): number
  mfl_offset(region: number): number
  mfl_reset(): void
  mfl_run(thread: number): number
  __heap_base: WebAssembly.Global
  __stack_pointer: WebAssembly.Global
}
