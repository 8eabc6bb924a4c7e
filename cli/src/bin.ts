#!/usr/bin/env node
import { main } from './main.js'

// A pipe whose reader is gone is no reason to end: a federation goes on without whoever looked at its lines.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
}
await main(process.argv)
// The command has ended: nothing that a library left open may hold the process, and with it whoever waits for it. ZeroMQ's
// monitor of a closed socket did so about once in a hundred ends.
setTimeout(() => process.exit(), 2000).unref()
