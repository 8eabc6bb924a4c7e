export { aggregate, type Contribution } from './aggregate.js'
export {
  type Coordinator,
  type CoordinatorOptions,
  type FederationResult,
  startCoordinator,
} from './coordinator.js'
export { formatInvite, type Invite, parseInvite } from './invite.js'
export { type KnockOutcome, knockAtCoordinator } from './knock.js'
export { type LedgerEntry, type LedgerVerdict, verifyLedger } from './ledger.js'
export { type JoinOptions, joinFederation } from './site.js'
export { transportVersion } from './transport-version.js'
