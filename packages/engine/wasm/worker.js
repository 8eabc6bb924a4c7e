import { parentPort, workerData } from 'node:worker_threads'

/**
 * One thread of a session: an instance of the shared module over the shared memory, with a stack of its own. A message asks for
 * a run, the answer is its outcome; a trap ends the worker and reaches the host as its `error` event.
 * @typedef {{ module: WebAssembly.Module, memory: WebAssembly.Memory, stackTop: number, thread: number }} WorkerData
 */

const { module, memory, stackTop, thread } = /** @type {WorkerData} */ (workerData)
const { exports } = new WebAssembly.Instance(module, { env: { memory } })
const stackPointer = /** @type {WebAssembly.Global} */ (exports.__stack_pointer)
stackPointer.value = stackTop
const run = /** @type {(thread: number) => number} */ (exports.mfl_run)

parentPort?.on('message', () => parentPort?.postMessage(run(thread)))
