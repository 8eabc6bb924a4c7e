import type { SiteDescription } from '@meshfl/core'
import type { CoordinatorOptions } from '@meshfl/federation'
import type { Command } from 'commander'
import { type FederationOptions, withFederationOptions } from './federation-options.js'
import { positiveNumber, wholeNumber } from './option-parsers.js'
import type { Output } from './output.js'
import { type StudyOptions, withStudyOptions } from './study-options.js'

/** Options of the commands that wait for sites on other machines. */
export interface CoordinatorCommandOptions extends StudyOptions, FederationOptions {
  sites?: number
  minSites?: number
  deadline?: number
  bind: string
  advertise?: string
  autoApprove?: boolean
}

export function withCoordinatorOptions(command: Command): Command {
  return withFederationOptions(withStudyOptions(command))
    .option('--sites <n>', 'sites to invite (default: 1)', wholeNumber(1))
    .option('--min-sites <n>', 'sites that a round needs (default: all)', wholeNumber(1))
    .option(
      '--deadline <seconds>',
      'commit a round after this time with at least --min-sites (default: wait for all)',
      positiveNumber,
    )
    .option('--bind <endpoint>', 'where to listen', 'tcp://*:5555')
    .option('--advertise <host:port>', 'the address that invites name (default: this host and the bound port)')
    .option('--auto-approve', 'admit every site that has a valid invite without asking')
}

/** Who decides about a site that asks: nobody, the person at the terminal, or `meshfl sites` from elsewhere. */
export function approval(
  run: string,
  options: CoordinatorCommandOptions,
  output: Output,
): CoordinatorOptions['approve'] {
  if (options.autoApprove) return async () => true
  const elsewhere = askElsewhere(run, output)
  if (!output.asks) return elsewhere
  return async (request) => {
    const { site, fingerprint, description, signal } = request
    const answer = await output.ask(`admit ${site}, ${weightOf(description)}, key ${fingerprint}?`, signal)
    return answer ?? (signal.aborted ? false : elsewhere(request))
  }
}

/** What is approved with a site: how much it weighs in the average and in the scores, and with `--sync step` by how many voxels. */
function weightOf({ trainCases, validCases, conform }: SiteDescription): string {
  const cases = `${trainCases} training and ${validCases} validation cases`
  return conform.mode === 'none' ? `${cases} of ${conform.shape.join(' x ')} voxels` : cases
}

/** Without a terminal to ask at, a site waits until `meshfl sites` decides. */
function askElsewhere(run: string, output: Output): CoordinatorOptions['approve'] {
  return ({ site, fingerprint, description }) => {
    const message = `${site} (${weightOf(description)}, key ${fingerprint}) asks to take part: meshfl sites approve ${run} ${site}`
    output.events({ type: 'log', time: new Date().toISOString(), level: 'warn', message, site })
    return new Promise(() => undefined)
  }
}
