import { type Dice, type EvaluateOutcome, MeshflError } from '@meshfl/core'
import type { Task } from './site-machine.js'

/** What a trainer throws where a loss, a gradient or a parameter is no finite number. */
function isDivergence(error: unknown): error is MeshflError {
  return error instanceof MeshflError && error.code === 'TRAINING_DIVERGED'
}

/**
 * The score of a model that gives no finite loss: none. The model is one that the site was sent, and no fault of its own: it goes on.
 * @returns undefined where the error is another one
 */
export function unscored(
  error: unknown,
  { cases, classNames }: { cases: number; classNames: readonly string[] },
): (EvaluateOutcome & { why: string }) | undefined {
  if (!isDivergence(error)) return undefined
  const dice: Dice = { perClass: Object.fromEntries(classNames.map((name) => [name, null])), foregroundDice: null }
  return { cases, loss: null, dice, why: error.message }
}

/** Says of a training that diverged in its first step from a model of the federation whose model that was: nothing that was done here has made it. */
export function blameModel(error: unknown, task: Task): unknown {
  if (!isDivergence(error)) return error
  const round = modelRound(task, error.data.step)
  if (round < 1) return error
  return new MeshflError(error.code, `${error.message}; it began with the federation’s model of round ${round}`, {
    hint:
      'look at the case named here; where it is sound, an update of another site has spoiled that model: have the coordinator’s operator ' +
      'leave that site out, and begin a new run with the best model of this one (meshfl serve --from)',
    data: { ...error.data, modelOfRound: round },
    cause: error,
  })
}

/** The round whose model the step was taken from; 0 where that is the study's initial one, or no longer the federation's. */
function modelRound({ round, place }: Task, step: unknown): number {
  if (place) return place.step === 1 ? place.round - 1 : place.round
  return step === 1 ? round - 1 : 0
}
