import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type FolderLock, isLockedElsewhere, lockFolder, MeshflError } from '@meshfl/core'
import { Admissions } from './admissions.js'
import { ControlFolder } from './control-folder.js'
import { loadIdentity } from './identity.js'
import { formatInvite } from './invite.js'
import { SitesDesk } from './sites-desk.js'
import type { SitesAnswer, SitesRequest } from './sites-request.js'

const PATIENCE_MS = 15_000
const LOOK_MS = 25
const TRY_MS = 500

/**
 * Asks about or changes the sites of a run: through the coordinator where one works in the folder, else right there.
 * @throws MeshflError `RUN_NOT_FEDERATED`, `COORDINATOR_SILENT`, and those of `SitesDesk`
 */
export async function administerSites(
  folder: string,
  request: SitesRequest,
  { patienceMs = PATIENCE_MS } = {},
): Promise<SitesAnswer> {
  const address = readAddress(folder)
  if (address === undefined) {
    throw new MeshflError('RUN_NOT_FEDERATED', `${folder} is no run of a coordinator`, {
      kind: 'usage',
      hint: 'name the folder that was given to meshfl serve --out',
      data: { folder },
    })
  }
  const control = new ControlFolder(folder)
  const id = await control.ask(request)
  const until = performance.now() + patienceMs
  for (let tried = Number.NEGATIVE_INFINITY; performance.now() < until; ) {
    const answer = await control.takeAnswer(id)
    if (answer) return answer
    if (performance.now() - tried >= TRY_MS) {
      tried = performance.now()
      await answerHere(folder, address, control)
    } else await sleep(LOOK_MS)
  }
  if (await control.withdraw(id)) {
    throw new MeshflError('COORDINATOR_SILENT', `whoever works in ${folder} does not answer`, {
      hint: 'look whether the coordinator is alive; on another machine, give the command there. Nothing was changed',
      data: { folder },
    })
  }
  const answer = await control.takeAnswer(id)
  if (answer) return answer
  throw new MeshflError('COORDINATOR_SILENT', `whoever works in ${folder} began to answer and has not ended`, {
    hint: 'see what became of it with: meshfl sites list',
    data: { folder },
  })
}

/** Answers what was asked where no coordinator works in the folder. */
async function answerHere(folder: string, address: Address, control: ControlFolder): Promise<void> {
  if (isLockedElsewhere(folder)) return
  let lock: FolderLock
  try {
    lock = await lockFolder(folder)
  } catch (error) {
    if (error instanceof MeshflError && error.code === 'RUN_LOCKED') return
    throw error
  }
  try {
    const identity = await loadIdentity(join(folder, 'keys', 'coordinator.json'))
    const desk = new SitesDesk({
      admissions: Admissions.open(folder),
      format: ({ secret }) => formatInvite({ ...address, ...identity, secret }),
    })
    await control.answerAll(
      (request, id) => desk.handle(request, id),
      () => undefined,
    )
  } finally {
    lock.release()
  }
}

export interface Address {
  host: string
  port: number
}

/** Where a run keeps the address that its invites name. */
export function addressPath(folder: string): string {
  return join(folder, 'state', 'address.json')
}

function readAddress(folder: string): Address | undefined {
  const path = addressPath(folder)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Address) : undefined
}
