import { Box, type Key, Text, useInput } from 'ink'
import type { ReactElement } from 'react'
import type { Frame } from './frame.js'

export interface LiveAppProps {
  frame: Frame
  /** Whether standard input is a terminal whose keys can be read. */
  keys: boolean
  onKey(input: string, key: Key): void
}

/** The whole screen: its parts, one below the other. */
export function LiveApp({ frame, keys, onKey }: LiveAppProps): ReactElement {
  useInput(onKey, { isActive: keys })
  return (
    <Box flexDirection="column">
      <Part lines={frame.header} />
      <Part lines={frame.sites} />
      <Part lines={frame.curves} />
      <Part lines={frame.log} />
      <Part lines={frame.foot} />
    </Box>
  )
}

/** Lines as they are: they fit already, and carry their colours. */
function Part({ lines }: { lines: readonly string[] }): ReactElement | null {
  return lines.length === 0 ? null : <Text>{lines.join('\n')}</Text>
}
