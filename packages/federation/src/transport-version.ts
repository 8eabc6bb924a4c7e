/** The version of libzmq that was loaded, and whether it can encrypt. */
export async function transportVersion(): Promise<{ version: string; curve: boolean }> {
  const { capability, version } = await import('zeromq')
  return { version, curve: capability.curve === true }
}
