import { basename, join, resolve } from 'node:path'
import { readEventLog } from '@meshfl/core'
import { runFigures } from '@meshfl/evaluation'
import type { Evaluation } from './evaluation.js'
import { VERSION } from './program.js'
import type { TrainedModel } from './trained-model.js'

/** What a run's own log says of it, where there is no case to score: at a coordinator, which has no scans. */
export function reportRun(run: string, model: TrainedModel): Evaluation {
  return {
    input: {
      tool: `meshfl ${VERSION}`,
      model: { name: basename(resolve(run)), sha256: model.sha256 },
      dataset: { name: basename(resolve(run)) },
      classes: model.data.classNames.map((name, value) => ({ value, name })),
      cases: [],
      notes: ['No case was scored here. Validation figures are those that the sites told during the run.'],
      ...runFigures(readEventLog(join(run, 'events.jsonl'))),
    },
    slices: [],
    leftOut: [],
    folder: join(run, 'report'),
  }
}
