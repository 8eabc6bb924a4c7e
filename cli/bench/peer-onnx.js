// onnxruntime on the same network and image. Arguments: folder, edge, channels, threads, the file of onnxruntime-node. A JSON line
// on standard input asks (open, run, peak), one on standard output answers.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const [folder, edgeWord, , threadsWord, file] = process.argv.slice(2)
const edge = Number(edgeWord)
const require = createRequire(import.meta.url)
const ort = require(file)
const manifest = file.slice(0, file.lastIndexOf('onnxruntime-node') + 'onnxruntime-node'.length)
let session
let image

async function open() {
  const bytes = readFileSync(join(folder, 'images'))
  image = new ort.Tensor(
    'float32',
    Float32Array.from(bytes, (value) => value / 255),
    [1, 1, edge, edge, edge],
  )
  session = await ort.InferenceSession.create(join(folder, 'model.onnx'), {
    executionProviders: ['cpu'],
    intraOpNumThreads: Number(threadsWord),
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
  })
  return { version: require(join(manifest, 'package.json')).version }
}

async function run() {
  const begun = performance.now()
  const { logits } = await session.run({ image })
  const seconds = (performance.now() - begun) / 1000
  const voxels = edge ** 3
  const classes = logits.dims[1]
  const counts = new Array(classes).fill(0)
  for (let i = 0; i < voxels; i++) {
    let best = 0
    for (let c = 1; c < classes; c++) if (logits.data[c * voxels + i] > logits.data[best * voxels + i]) best = c
    counts[best]++
  }
  return { seconds, outcome: counts.map((count) => count / voxels) }
}

const peak = () => ({ bytes: process.resourceUsage().maxRSS * 1024 })
const TASKS = { open, run, peak }

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await TASKS[JSON.parse(line).do]())}\n`)
}
