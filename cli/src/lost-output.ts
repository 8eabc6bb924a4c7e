/**
 * Lets this process go on where what it prints cannot be written: its work stands in files of its own. A pipe whose reader is gone
 * (EPIPE), or a terminal that is (EIO), takes nothing from anybody. Where standard output is a file on a full disk, lines are missing
 * from it: that is said once, on standard error, and a command that ends well ends with 3.
 */
export function outliveOutput(): void {
  let lost = false
  const onLost = ({ code }: NodeJS.ErrnoException): void => {
    if (lost) return
    lost = true
    process.once('exit', () => {
      process.exitCode ||= 3
    })
    void tell(code ?? 'unknown error')
  }
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE' || (error.code === 'EIO' && stream.isTTY)) return
      if (error.syscall !== 'write') throw error
      if (stream === process.stdout) onLost(error)
    })
  }
}

async function tell(code: string): Promise<void> {
  const [{ MeshflError }, { printError }] = await Promise.all([import('@meshfl/core'), import('./command-errors.js')])
  const error = new MeshflError('OUTPUT_LOST', `standard output cannot be written (${code}): lines are missing there`, {
    hint: 'make room where the output goes; the command itself goes on',
  })
  await printError(error, {})
}
