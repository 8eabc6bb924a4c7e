import type { Dice, MeshflEvent } from '@meshfl/core'

/** What an event says in numbers: of the whole run, or of one site. */
export interface Figures {
  time: string
  round: number
  /** Null: the global model's. */
  site: string | null
  phase: 'train' | 'valid'
  loss: number | null
  foregroundDice: number | null
  dicePerClass: Record<string, number | null>
  /** Volumes or cases behind it. */
  samples: number | null
  seconds: number | null
}

/** The numbers of an event: none for most, two for the end of a round. */
export function figuresOf(event: MeshflEvent): Figures[] {
  switch (event.type) {
    case 'site-trained': {
      const { time, round, site, loss, dice, samples, seconds } = event
      return [{ time, round, site, phase: 'train', loss, ...diceOf(dice), samples, seconds }]
    }
    case 'site-evaluated': {
      const { time, round, site, loss, dice, cases } = event
      return [{ time, round, site, phase: 'valid', loss, ...diceOf(dice), samples: cases, seconds: null }]
    }
    case 'round-finished': {
      const { time, round, seconds } = event
      const common = { time, round, site: null, samples: null }
      return [
        { ...common, phase: 'train', loss: event.trainLoss, ...diceOf(event.trainDice), seconds },
        { ...common, phase: 'valid', loss: event.validLoss, ...diceOf(event.validDice), seconds: null },
      ]
    }
    default:
      return []
  }
}

function diceOf(dice: Dice | null): Pick<Figures, 'foregroundDice' | 'dicePerClass'> {
  return { foregroundDice: dice?.foregroundDice ?? null, dicePerClass: dice?.perClass ?? {} }
}
