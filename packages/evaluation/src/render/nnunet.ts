import { type ClassCounts, classCounts, meanOf } from '../confusion.js'
import type { Report } from '../report.js'

type Metrics = Record<'Dice' | 'IoU' | 'FP' | 'TP' | 'FN' | 'TN' | 'n_pred' | 'n_ref', number>

/**
 * summary.json as nnU-Net v2 writes it (https://github.com/MIC-DKFZ/nnUNet, nnunetv2/evaluation/evaluate_predictions.py), for
 * tools that read that: labels from 1 on, counts in voxels, means over cases that leave out 0/0, and `NaN`, as Python reads it, where
 * nothing is left. A report has no file names, so the subject stands for both files.
 */
export function renderNnunetSummary(report: Report): string {
  const labels = report.classes.slice(1).map(({ value }, i) => ({ key: String(value), index: i + 1 }))
  const cases = report.cases.map(({ subject, confusion }) => {
    const counts = { counts: Float64Array.from(confusion), classes: report.classes.length }
    const metrics = Object.fromEntries(labels.map(({ key, index }) => [key, metricsOf(classCounts(counts, index))]))
    return { metrics, prediction_file: subject, reference_file: subject }
  })
  const names = Object.keys(metricsOf({ truePositives: 0, falsePositives: 0, falseNegatives: 0, trueNegatives: 0 }))
  const over = (values: (name: keyof Metrics) => number[]): Record<string, number> =>
    Object.fromEntries(names.map((name) => [name, meanOf(values(name as keyof Metrics)) ?? Number.NaN]))
  const means = Object.fromEntries(
    labels.map(({ key }) => [
      key,
      over((name) => cases.map(({ metrics }) => metrics[key]![name]).filter((value) => !Number.isNaN(value))),
    ]),
  )
  const foreground = over((name) => labels.map(({ key }) => means[key]![name]!))
  return `${pythonJson({ foreground_mean: foreground, mean: means, metric_per_case: cases })}\n`
}

function metricsOf({
  truePositives: tp,
  falsePositives: fp,
  falseNegatives: fn,
  trueNegatives: tn,
}: ClassCounts): Metrics {
  return {
    ...{ Dice: (2 * tp) / (2 * tp + fp + fn), FN: fn, FP: fp, IoU: tp / (tp + fp + fn) },
    ...{ TN: tn, TP: tp, n_pred: fp + tp, n_ref: fn + tp },
  }
}

/** JSON with `NaN`, which Python writes and reads and the standard does not have. */
function pythonJson(value: unknown): string {
  const mark = '\u0000NaN'
  const text = JSON.stringify(value, (_, one) => (Number.isNaN(one) ? mark : one), 4)
  return text.replaceAll(JSON.stringify(mark), 'NaN')
}
