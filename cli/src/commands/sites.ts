import type { SitesAnswer, SitesRequest } from '@meshfl/federation'
import { Command } from 'commander'
import { timeSpan, wholeNumber } from '../option-parsers.js'
import { type OutputOptions, withOutputOptions } from '../output.js'
import { runCommand } from '../run-command.js'

interface InviteOptions extends OutputOptions {
  count?: number
  expires?: number
}

const WEEK_SECONDS = 7 * 86_400
const EXPIRES = ['--expires <time>', 'how long the invite holds: 45m, 12h, 3d (default: 1w)', timeSpan] as const

/** `meshfl sites`: the sites of a run, whether its coordinator runs or not. */
export function sitesCommand(): Command {
  const sites = new Command('sites').description(
    'See, invite, approve or revoke the sites of a run, or give one new keys; also while its coordinator runs',
  )
  const add = (name: string, description: string, example: string): Command => {
    const command = withOutputOptions(
      new Command(name).description(description).argument('<run>', 'folder that was given to meshfl serve --out'),
    ).addHelpText('after', `\nExample:\n  meshfl sites ${example}`)
    sites.addCommand(command)
    return command
  }
  add('list', 'List sites, those that ask to take part, and open invites', 'list ./run').action(
    (run: string, options: OutputOptions) => ask(run, options, { action: 'list' }),
  )
  add('invite', 'Print invites for more sites; each lets one in, once', 'invite ./run --count 2 --expires 3d')
    .option('--count <n>', 'how many (default: 1)', wholeNumber(1))
    .option(...EXPIRES)
    .action((run: string, options: InviteOptions) => {
      const { count = 1, expires: expiresSeconds = WEEK_SECONDS } = options
      return ask(run, options, { action: 'invite', count, expiresSeconds })
    })
  add('approve', 'Let a site in that asks; compare the fingerprint with it first', 'approve ./run site-1')
    .argument('<site>', 'its name, or its fingerprint where several ask by one name')
    .action((run: string, site: string, options: OutputOptions) => ask(run, options, { action: 'approve', site }))
  add(
    'revoke',
    'Throw a site out, or turn down one that asks: what it sends counts no more. Or take back an invite',
    'revoke ./run site-1',
  )
    .argument('<site>', 'its name or its fingerprint, or an unused invite (mfl1:...)')
    .action((run: string, site: string, options: OutputOptions) => ask(run, options, { action: 'revoke', site }))
  add('rotate', 'Give a site new keys: prints an invite for it, and its old keys count no more', 'rotate ./run site-1')
    .argument('<site>', 'its name')
    .option(...EXPIRES)
    .action((run: string, site: string, options: InviteOptions) =>
      ask(run, options, { action: 'rotate', site, expiresSeconds: options.expires ?? WEEK_SECONDS }),
    )
  add(
    'cross-site',
    "Have every site's last model and the global one scored at every site after the round in progress; the study must allow it (--cross-site)",
    'cross-site ./run',
  ).action((run: string, options: OutputOptions) => ask(run, options, { action: 'cross-site' }))
  return sites.addHelpText('after', '\nExample:\n  meshfl sites list ./run')
}

async function ask(run: string, options: OutputOptions, request: SitesRequest): Promise<void> {
  await runCommand(options, { title: 'meshfl sites' }, async ({ output }) => {
    const { administerSites } = await import('@meshfl/federation')
    const answer = await administerSites(run, request)
    output.result({ type: 'sites', action: request.action, ...answer }, describe(answer, request))
  })
}

function describe({ sites, invites, note }: SitesAnswer, { action }: SitesRequest): string {
  const rows = sites.map(({ site, state, fingerprint, trainCases, since }) => [
    site,
    state,
    trainCases === undefined ? '' : `${trainCases} training cases`,
    fingerprint,
    since.slice(0, 16).replace('T', ' '),
  ])
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]!.length))) ?? []
  const lines = rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  )
  if (sites.length === 0 && action === 'list') lines.push('no sites')
  if (action === 'list') lines.push(`${invites.length} open invites`)
  for (const { invite, expires, site } of invites) {
    const whose = site === undefined ? 'for one site' : `for ${site}, with the same --out as before`
    lines.push(`meshfl join ${invite} --data <dataset>    # ${whose}, until ${expires.slice(0, 16).replace('T', ' ')}`)
  }
  if (note !== undefined) lines.push(note)
  return lines.join('\n')
}
