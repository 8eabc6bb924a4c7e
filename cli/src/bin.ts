#!/usr/bin/env node
import { outliveTerminal } from './lost-terminal.js'
import { main } from './main.js'

// A pipe whose reader is gone (EPIPE), or a terminal that is (EIO), is no reason to end: a federation goes on without whoever looked
// at its lines, and a command that ends with its terminal ends in order.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && !(error.code === 'EIO' && stream.isTTY)) throw error
  })
}
outliveTerminal()
await main(process.argv)
// The command has ended: nothing that a library left open may hold the process, and with it whoever waits for it. ZeroMQ's
// monitor of a closed socket did so about once in a hundred ends.
setTimeout(() => process.exit(), 2000).unref()
