import { cleanText } from './text.js'

export const INVITES_HEADING = 'give each site one of these lines:'

/** What a site's operator types to follow an invite. */
export function joinCommand(invite: string): string {
  return `meshfl join ${cleanText(invite)} --data <dataset>`
}
