import type { EventOf } from '@meshfl/core'
import type { Experiment } from '@meshfl/evaluation'

const figure = (value: number | null | undefined): string => (value == null ? 'undefined' : value.toFixed(4))

/** A line for a person. */
export function armText({ name, runs, dice, differences }: Experiment['arms'][number]): string {
  const { mean, sd } = dice.foreground!
  const spread = runs.length < 2 ? '' : ` (sd ${figure(sd)} over ${runs.length} seeds)`
  const [first] = differences ?? []
  const against =
    first?.difference == null
      ? ''
      : `, ${Math.abs(first.difference).toFixed(4)} ${first.difference < 0 ? 'below' : 'above'} the first arm`
  return `${name}: foreground Dice ${figure(mean)}${spread}${against}`
}

/** The last line that `meshfl experiment --json` prints. */
export function experimentEvent({ cases, seeds, arms }: Experiment, path: string): EventOf<'experiment'> {
  return {
    ...{ type: 'experiment', cases, seeds },
    arms: arms.map(({ name, dice, differences }) => ({
      ...{ name, foregroundDice: dice.foreground!.mean, sd: dice.foreground!.sd },
      difference: differences?.[0]?.difference ?? null,
    })),
    path,
  }
}
