import { canonicalJson, type MeshNetSpec, type ModelLayout, sha256, type TensorEntry } from '@meshfl/core'

/**
 * The flat layout of a model: PyTorch `state_dict` order of `model.{i}.0` (convolution), `model.{i}.1` (BatchNorm) and the
 * head `model.{blocks}`. Convolution weights are (Co, Ci, 3, 3, 3).
 */
export function modelLayout(spec: MeshNetSpec): ModelLayout {
  const parameters: TensorEntry[] = []
  const statistics: TensorEntry[] = []
  let parameterCount = 0
  let statisticCount = 0
  const parameter = (name: string, ...shape: number[]): void => {
    parameters.push({ name, shape, offset: parameterCount })
    parameterCount += shape.reduce((product, n) => product * n, 1)
  }
  const statistic = (name: string, ...shape: number[]): void => {
    statistics.push({ name, shape, offset: statisticCount })
    statisticCount += shape.reduce((product, n) => product * n, 1)
  }
  const { channels, classes, dilations } = spec
  dilations.forEach((_, block) => {
    parameter(`model.${block}.0.weight`, channels, block === 0 ? 1 : channels, 3, 3, 3)
    if (spec.convolutionBias) parameter(`model.${block}.0.bias`, channels)
    if (spec.normalization === 'batch') {
      parameter(`model.${block}.1.weight`, channels)
      parameter(`model.${block}.1.bias`, channels)
      statistic(`model.${block}.1.running_mean`, channels)
      statistic(`model.${block}.1.running_var`, channels)
    }
  })
  const head = `model.${dilations.length}`
  parameter(`${head}.weight`, classes, channels, 1, 1, 1)
  parameter(`${head}.bias`, classes)
  return {
    parameters,
    statistics,
    parameterCount,
    statisticCount,
    sha256: sha256(canonicalJson({ parameters, statistics })),
  }
}
