import { readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import {
  canonicalJson,
  describeModel,
  encodeModel,
  explainReadError,
  faultOfClassNames,
  MeshflError,
  type ModelData,
  modelSha256,
  readModelMetadata,
  StudySchema,
  writeFileAtomic,
} from '@meshfl/core'
import { modelLayout } from '@meshfl/engine'
import {
  type Axes,
  assembleModel,
  axesOfModelFile,
  type KnownModel,
  knownOfReference,
  parseReferenceModel,
  type ReadModel,
  type ReferenceModel,
  readModel,
} from '@meshfl/interchange'
import { checkModelOut } from './check-model-out.js'
import { hasNamedClasses } from './initial-model.js'
import { checkStudyKeys, readStudyYaml } from './study-from-options.js'

export interface ImportRequest {
  out: string
  /** A modelAE.json or a study.yaml. */
  model?: string
  axes?: Axes
  classNames?: string[]
  force?: boolean
}

/** What was imported, and in words what was assumed of it. */
export interface Imported {
  format: string
  parameters: number
  sha256: string
  assumed: string[]
}

/**
 * Reads a model of another tool and writes it as one of ours.
 * @throws MeshflError `MODEL_FILE_EXISTS`, `PATH_NOT_WRITABLE`, `CLASS_NAMES_INVALID`, those of the file's format, of `assembleModel`, of modelAE.json and of study.yaml
 */
export async function importModel(file: string, request: ImportRequest): Promise<Imported> {
  checkModelOut(request.out, request.force)
  const said = request.model === undefined ? {} : await readKnown(request.model)
  const read = await readModel(file)
  const own = whatItSays(read, file)
  const { told, likely } =
    'reference' in said ? ofReference(said.reference, read, own.spec, file) : { told: said, likely: [] }
  const axes = request.axes ?? own.axes ?? 'xyz'
  refuseContradiction(own, told, file)
  const known = { ...own.spec, ...told.spec }
  const { spec, state, assumed } = assembleModel(read.parts, known, axes, file)
  assumed.push(...likely)
  if (request.axes === undefined && own.axes === undefined) assumed.push(`the axes that it was trained on: ${axes}`)
  const data = describeData({ ...own.data, ...told.data }, request.classNames, spec.classes, assumed)
  const imported = canonicalJson({ format: read.format, sha256: read.sha256, axes })
  const metadata = { ...describeModel(spec, data), 'meshfl.imported': imported }
  const layout = modelLayout(spec)
  await writeFileAtomic(request.out, encodeModel(layout, state, metadata))
  return { format: read.format, parameters: layout.parameterCount, sha256: modelSha256(state), assumed }
}

/** What somebody knows of a model: its network, and the data that it was trained on. */
interface Told {
  spec?: KnownModel
  data?: Partial<ModelData>
}

async function readKnown(path: string): Promise<Told | { reference: ReferenceModel }> {
  if (['.yaml', '.yml'].includes(extname(path).toLowerCase())) {
    const yaml = await readStudyYaml(path)
    const { model, classNames, conform, voxelSizeMm, labelMap } = checkStudyKeys(yaml, path)
    // What a study leaves out is a default of studies, and nothing that anybody said of this network.
    const written = Object.keys((yaml.model as object | undefined) ?? {})
    return {
      spec: Object.fromEntries(Object.entries(model).filter(([key]) => written.includes(key))),
      data: {
        ...('classNames' in yaml ? { classNames } : {}),
        ...(conform ? { conform } : {}),
        ...(voxelSizeMm === undefined ? {} : { voxelSizeMm }),
        ...(labelMap === undefined ? {} : { labelMap }),
      },
    }
  }
  const json = await readFile(path, 'utf8').catch((error) => {
    throw explainReadError(error, path)
  })
  return { reference: parseReferenceModel(json, path) }
}

/** What a modelAE.json says of the network of a file, and in words what of it is taken for likely. */
function ofReference(
  reference: ReferenceModel,
  { parts }: ReadModel,
  own: KnownModel | undefined,
  file: string,
): { told: Told; likely: string[] } {
  const { known, assumed } = knownOfReference(reference, { ...own, ...parts }, file)
  return { told: { spec: known }, likely: assumed }
}

/** What a file says of itself, where we have written it. */
function whatItSays({ metadata }: ReadModel, file: string): Told & { axes?: Axes } {
  if (metadata['meshfl.spec'] === undefined) return {}
  const { spec, data } = readModelMetadata(metadata, file)
  return { spec, data, axes: axesOfModelFile(metadata, file) }
}

/**
 * What --model says may not contradict what a file of ours says, of its network or of the scans that it was trained on. Dropout is no part
 * of the network that it holds, and its classes may be called otherwise.
 */
function refuseContradiction(own: Told, told: Told, file: string): void {
  const { dropout: _, ...network } = told.spec ?? {}
  const { classNames: __, ...scans } = told.data ?? {}
  const said: Record<string, unknown> = { ...own.data, ...own.spec }
  for (const [key, value] of Object.entries({ ...scans, ...network })) {
    // A file that was imported need not say on which scans it was trained.
    if (said[key] === undefined || canonicalJson(said[key]) === canonicalJson(value)) continue
    throw new MeshflError(
      'IMPORT_MODEL_MISMATCH',
      `${file} says of itself ${key} ${shown(said[key])}, not ${shown(value)} as --model does`,
      {
        kind: 'usage',
        hint: `leave out --model, or ${key} in it: the file tells its own network, and the scans that it was trained on`,
        data: { key },
      },
    )
  }
}

/** What a file says may be as long as its header. */
function shown(value: unknown): string {
  const json = canonicalJson(value)
  return json.length > 200 ? `${json.slice(0, 200)}...` : json
}

function describeData(
  told: Partial<ModelData>,
  named: readonly string[] | undefined,
  classes: number,
  assumed: string[],
): Partial<ModelData> {
  const data = { ...told }
  const defaults = StudySchema.parse({}).classNames
  if (named) data.classNames = [...named]
  else if (!data.classNames && classes === defaults.length) {
    data.classNames = defaults
    assumed.push(`the classes: ${defaults.join(', ')}`)
  } else if (!data.classNames || !hasNamedClasses(data.classNames))
    assumed.push(`the classes: class 0 to class ${classes - 1}`)
  const names = data.classNames
  const fault = names && (names.length === classes ? faultOfClassNames(names) : `${names.length} names`)
  if (fault !== undefined) {
    throw new MeshflError('CLASS_NAMES_INVALID', `the ${classes} classes of the network cannot be named so: ${fault}`, {
      kind: 'usage',
      hint: 'give with --class-names one name a class, all different, background first',
    })
  }
  if (!data.conform)
    assumed.push('the scans: conformed as FreeSurfer does, 256^3 voxels of 1 mm, unless predict says otherwise')
  return data
}
