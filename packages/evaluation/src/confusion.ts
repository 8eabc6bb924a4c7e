import { type Dice, MeshflError } from '@meshfl/core'

/** How many voxels of each true class were given each predicted class. */
export interface Confusion {
  classes: number
  /** (classes, classes), row-major: `counts[truth * classes + prediction]`. */
  counts: ArrayLike<number>
}

/** What the counts say of one class: voxels that are right, wrongly claimed, missed. */
export interface ClassCounts {
  truePositives: number
  falsePositives: number
  falseNegatives: number
  trueNegatives: number
}

/**
 * Counts the pairs of a truth and a prediction on the same grid.
 * @throws MeshflError `EVAL_GRID_MISMATCH` for different lengths, `EVAL_LABEL_OUT_OF_RANGE` for a value that is no class
 */
export function confusionOf(
  truth: ArrayLike<number>,
  prediction: ArrayLike<number>,
  classes: number,
): Confusion & { counts: Float64Array } {
  if (truth.length !== prediction.length) {
    throw new MeshflError(
      'EVAL_GRID_MISMATCH',
      `the prediction has ${prediction.length} voxels, the truth ${truth.length}`,
      {
        hint: 'bring the prediction to the grid of the truth first',
        data: { truth: truth.length, prediction: prediction.length },
      },
    )
  }
  const counts = new Float64Array(classes * classes)
  for (let i = 0; i < truth.length; i++) {
    const row = truth[i]!
    const column = prediction[i]!
    if (!(isClass(row, classes) && isClass(column, classes))) throw labelOutOfRange(i, row, column, classes)
    counts[row * classes + column]! += 1
  }
  return { classes, counts }
}

function isClass(value: number, classes: number): boolean {
  return value >= 0 && value < classes && Number.isInteger(value)
}

function labelOutOfRange(index: number, truth: number, prediction: number, classes: number): MeshflError {
  const inTruth = !isClass(truth, classes)
  return new MeshflError(
    'EVAL_LABEL_OUT_OF_RANGE',
    `voxel ${index} of the ${inTruth ? 'truth' : 'prediction'} is ${inTruth ? truth : prediction}; there are only the classes 0 to ${classes - 1}`,
    {
      hint: 'score the model on a dataset that split made with its label map (--data), or give label maps whose values are the classes of the model',
      data: { index },
    },
  )
}

/** The four counts of one class against all others. */
export function classCounts(confusion: Confusion, index: number): ClassCounts {
  const { classes, counts } = confusion
  let row = 0
  let column = 0
  let total = 0
  for (let i = 0; i < classes; i++) {
    row += counts[index * classes + i] ?? 0
    column += counts[i * classes + index] ?? 0
    for (let j = 0; j < classes; j++) total += counts[i * classes + j] ?? 0
  }
  const truePositives = counts[index * classes + index] ?? 0
  return {
    truePositives,
    falsePositives: column - truePositives,
    falseNegatives: row - truePositives,
    trueNegatives: total - row - column + truePositives,
  }
}

/** 2 TP / (2 TP + FP + FN); null where the class is in neither volume. */
export function diceOf(counts: ClassCounts): number | null {
  const size = 2 * counts.truePositives + counts.falsePositives + counts.falseNegatives
  return size === 0 ? null : (2 * counts.truePositives) / size
}

/**
 * Dice of every class by its name, and the mean over the classes from 1 on that are in either volume (null when none is).
 * @param classNames one name for each class, background first
 */
export function diceFromConfusion(confusion: Confusion, classNames: readonly string[]): Dice {
  if (classNames.length !== confusion.classes || confusion.counts.length !== confusion.classes ** 2) {
    throw new RangeError(
      `${confusion.classes} classes need as many names (${classNames.length}) and their square of counts (${confusion.counts.length})`,
    )
  }
  const values = classNames.map((_, index) => diceOf(classCounts(confusion, index)))
  return {
    perClass: Object.fromEntries(classNames.map((name, index) => [name, values[index] ?? null])),
    foregroundDice: meanOf(values.slice(1)),
  }
}

/** The mean of what is not null; null when nothing is left. */
export function meanOf(values: readonly (number | null)[]): number | null {
  const present = values.filter((value) => value !== null)
  return present.length === 0 ? null : present.reduce((sum, value) => sum + value, 0) / present.length
}
