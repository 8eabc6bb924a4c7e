import { escapeMarkdown, shorten } from '../render/escape.js'
import { countText, DISCLAIMER, intervalText, pText, ratioText, signedRatioText } from '../render/format.js'
import { type Experiment, rowName } from './experiment.js'
import { COMPARISON_METHOD, scoredText } from './words.js'

const name = (value: string): string => escapeMarkdown(shorten(value, 80))
const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
const head = (columns: readonly string[]): string[] => [
  line(columns),
  line(columns.map((_, i) => (i === 0 ? '---' : '---:'))),
]

/** experiment.md: the tables of arms and of differences. */
export function renderExperimentMarkdown(experiment: Experiment): string {
  const { arms, rows, seeds, dataset, split, notes } = experiment
  const [first, ...others] = arms
  const differences =
    others.length === 0
      ? []
      : [
          ...['', `### Against ${name(first!.name)}`, ''],
          ...head(['Arm', 'Dice', 'Difference', '95 % interval', 'Better', 'Worse', 'p']),
          ...others.flatMap((arm) =>
            arm.differences!.map((one) =>
              line([
                ...[name(arm.name), name(rowName(one.class)), signedRatioText(one.difference)],
                ...[intervalText(one.ci95, true), `${one.better}`, `${one.worse}`, pText(one.pHolm)],
              ]),
            ),
          ),
          ...['', COMPARISON_METHOD],
        ]
  return [
    ...[
      `## ${name(dataset.name)}, ${name(split)} split: ${countText(arms.length, 'arm')}, ${countText(seeds.length, 'seed')}`,
      '',
    ],
    ...[`Mean Dice over ${scoredText(experiment)}: mean over the seeds, and their standard deviation.`, ''],
    ...notes.flatMap((note) => [escapeMarkdown(note), '']),
    ...head(['Arm', ...rows.map((row) => name(rowName(row)))]),
    ...arms.map((arm) =>
      line([
        name(arm.name),
        ...rows.map((row) => `${ratioText(arm.dice[row]!.mean)} ± ${ratioText(arm.dice[row]!.sd)}`),
      ]),
    ),
    ...differences,
    ...['', DISCLAIMER, ''],
  ].join('\n')
}
