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
      return
    }
    throw error
  }
}
