/**
 * What was left out, said last because the log above may be long: the names, and each kind of mend once.
 * @param how why the exit code is what it is
 */
export function leftOutText(leftOut: readonly { subject: string; hint?: string | undefined }[], how: string): string {
  const hints = [...new Set(leftOut.flatMap(({ hint }) => hint ?? []))]
  return [
    `${leftOut.length} left out: ${leftOut.map(({ subject }) => subject).join(', ')}${how}`,
    ...hints.map((hint) => `  hint: ${hint}`),
  ].join('\n')
}
