#!/usr/bin/env node
import { outliveOutput } from './lost-output.js'
import { outliveTerminal } from './lost-terminal.js'
import { main } from './main.js'

outliveOutput()
outliveTerminal()
await main(process.argv)
// The command has ended: nothing that a library left open may hold the process, and with it whoever waits for it. ZeroMQ's
// monitor of a closed socket did so about once in a hundred ends.
setTimeout(() => process.exit(), 2000).unref()
