export { administerSites } from './administer-sites.js'
export { aggregate, type Contribution } from './aggregate.js'
export { type AuditVerdict, auditRun } from './audit.js'
export {
  type Coordinator,
  type CoordinatorOptions,
  type FederationResult,
  startCoordinator,
} from './coordinator.js'
export { formatInvite, type Invite, parseInvite } from './invite.js'
export { type KnockOutcome, knockAtCoordinator } from './knock.js'
export { type LedgerEntry, type LedgerVerdict, verifyLedger } from './ledger.js'
export { SharedRounds } from './shared-rounds.js'
export { type JoinOptions, joinFederation } from './site.js'
export { checkSitesOfProcess } from './sites-of-process.js'
export type { SiteLine, SitesAnswer, SitesRequest } from './sites-request.js'
export { createTinyTrainer, describeTinySite } from './tiny-trainer.js'
export { transportVersion } from './transport-version.js'
