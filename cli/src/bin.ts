#!/usr/bin/env node
import { main } from './main.js'

await main(process.argv)
// The command has ended: nothing that a library left open may hold the process, and with it whoever waits for it. ZeroMQ's
// monitor of a closed socket did so about once in a hundred ends.
setTimeout(() => process.exit(), 2000).unref()
