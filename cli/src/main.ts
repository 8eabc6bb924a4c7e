import { CommanderError } from 'commander'
import { buildProgram } from './program.js'

/** Runs the command line and sets `process.exitCode`. Words that commander does not understand exit with 2. */
export async function main(argv: readonly string[]): Promise<void> {
  const program = buildProgram()
  try {
    await program.parseAsync(argv)
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : 2
      if (error.exitCode !== 0 && argv.includes('--json')) {
        // Where commander answers with help instead of an error, its message is but a mark of that.
        const message = error.code === 'commander.help' ? 'name a command' : error.message.replace(/^error: /, '')
        process.stdout.write(`${JSON.stringify({ type: 'error', code: 'USAGE', message, hint: 'add --help' })}\n`)
      }
      return
    }
    throw error
  }
}
