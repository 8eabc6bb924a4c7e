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
        const message = error.message.replace(/^error: /, '')
        process.stdout.write(`${JSON.stringify({ type: 'error', code: 'USAGE', message, hint: 'add --help' })}\n`)
      }
      return
    }
    throw error
  }
}
