import { z } from 'zod'

const count = z.int().min(0)
const LayerSchema = z.object({
  class_name: z.string(),
  config: z.record(z.string(), z.unknown()),
  name: z.string().optional(),
  inbound_nodes: z.unknown().optional(),
})
const WeightSchema = z.object({
  name: z.string(),
  shape: z.array(count).max(8),
  dtype: z.string(),
  quantization: z.unknown().optional(),
})

/** As much of a tfjs layers-model's model.json as is read here; the rest of it is passed over. */
export const LayersModelSchema = z.object({
  format: z.literal('layers-model').optional(),
  modelTopology: z.object({
    model_config: z.object({
      class_name: z.enum(['Functional', 'Model', 'Sequential']),
      config: z.object({ layers: z.array(LayerSchema).max(1000) }),
    }),
  }),
  weightsManifest: z
    .array(z.object({ paths: z.array(z.string()), weights: z.array(WeightSchema).max(1000) }))
    .max(1000),
  userDefinedMetadata: z.record(z.string(), z.unknown()).optional(),
})
export type LayersModel = z.infer<typeof LayersModelSchema>
export type Layer = z.infer<typeof LayerSchema>

/** Of a Conv3D; what Keras leaves out has its default. */
export const ConvolutionSchema = z.object({
  kernel_size: z.array(count).length(3),
  strides: z.array(count).default([1, 1, 1]),
  padding: z.string().default('valid'),
  data_format: z.string().default('channels_last'),
  dilation_rate: z.array(count).length(3).default([1, 1, 1]),
  groups: count.default(1),
  activation: z.string().default('linear'),
  use_bias: z.boolean().default(true),
})
