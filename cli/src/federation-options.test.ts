import { StrategySchema } from '@meshfl/core'
import { Command } from 'commander'
import { expect, test } from 'vitest'
import {
  type FederationOptions,
  federationKeys,
  STRATEGY_CHOICES,
  withFederationOptions,
} from './federation-options.js'
import { studyFromOptions } from './study-from-options.js'

function parse(...args: string[]): FederationOptions {
  const command = withFederationOptions(new Command())
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
  return command.parse(args, { from: 'user' }).opts<FederationOptions>()
}

test('--strategy offers the strategies that a study may name', () => {
  expect(STRATEGY_CHOICES).toEqual(StrategySchema.options)
})

test('the options become keys of the study’s federation', async () => {
  const options = parse(
    ...['--strategy', 'fedadam', '--strategy-option', 'tau=1e-2', '--strategy-option', 'beta1=0.5'],
    ...['--sample', '20%', '--batch-norm', 'average', '--cross-site'],
  )
  const { federation } = await studyFromOptions(options)
  expect(federation).toMatchObject({
    strategy: 'fedadam',
    strategyOptions: { tau: 0.01, beta1: 0.5 },
    sampleFraction: 0.2,
    batchNorm: 'average',
    crossSite: true,
  })
  expect(federationKeys(parse('--sample', '3'))).toEqual({ sampleCount: 3 })
  expect(federationKeys(parse())).toEqual({})
})

test.each([
  [['--strategy', 'fedsgd'], /Allowed choices/],
  [['--strategy-option', 'mu'], /expected a key and a number/],
  [['--sample', '0'], /expected a number of sites/],
  [['--sample', '150%'], /expected a number of sites/],
])('%j is refused with words', (args, words) => {
  expect(() => parse(...args)).toThrow(words)
})

test.each([
  [['--strategy-option', 'mu=1'], /fedavg has no option mu; it has none/],
  [['--strategy', 'krum', '--strategy-option', 'beta=0.1'], /krum has no option beta; it has f/],
  [['--strategy', 'fedprox', '--strategy-option', 'mu=-1'], /mu/],
  [['--strategy', 'median', '--sync', 'step'], /there are no updates for median to combine/],
  [['--sync', 'step', '--sample', '2'], /every site takes part/],
])('%j is refused as a study, naming the key', async (args, words) => {
  await expect(studyFromOptions(parse(...args))).rejects.toMatchObject({
    code: 'STUDY_INVALID',
    message: expect.stringMatching(words),
  })
})
