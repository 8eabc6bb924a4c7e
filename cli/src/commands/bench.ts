import { Command } from 'commander'
import { benchFederationCommand } from './bench-federation.js'

export function benchCommand(): Command {
  return new Command('bench').description('Measure this machine').addCommand(benchFederationCommand().exitOverride())
}
