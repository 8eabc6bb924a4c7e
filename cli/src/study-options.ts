import type { Command } from 'commander'
import { numberBetween, positiveNumber, wholeNumber } from './option-parsers.js'

export interface StudyOptions {
  study?: string
  /** Keys of a study that are at hand, instead of a file: of one arm of an experiment. */
  studyKeys?: Record<string, unknown>
  from?: string
  rounds?: number
  seed?: number
  /** An option of `meshfl train` alone. */
  fold?: number
  lr?: number
  batchSize?: number
  localEpochs?: number
  targetDice?: number
  patience?: number
  minDelta?: number
}

/** Adds the options that make or override study.yaml. */
export function withStudyOptions(command: Command): Command {
  return command
    .option('--study <file>', 'a study.yaml to start from; the options below override it')
    .option(
      '--from <model>',
      'begin with the model of a run or a .safetensors file, not with weights drawn from the seed',
    )
    .option('--rounds <n>', 'rounds, each of one local epoch (default: 50)', wholeNumber(1))
    .option('--seed <n>', 'the seed of every random draw (default: 0)', wholeNumber(0))
    .option('--lr <rate>', 'highest learning rate of the one-cycle schedule (default: 0.005)', positiveNumber)
    .option('--batch-size <n>', 'volumes a step (default: 1)', wholeNumber(1))
    .option('--local-epochs <n>', "passes over a site's volumes a round (default: 1)", wholeNumber(1))
    .option('--target-dice <x>', 'stop when the validation foreground Dice reaches it', numberBetween(0, 1))
    .option('--patience <rounds>', 'stop when the validation foreground Dice has not risen for so long', wholeNumber(1))
    .option('--min-delta <x>', 'with --patience: a rise of no more than this is none (default: 0)', numberBetween(0, 1))
}
