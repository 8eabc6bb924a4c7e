/* The loss of one voxel: cross-entropy with class weights and label smoothing, as PyTorch defines its weighted mean. */
#pragma once

#include "activation.h"
#include "storage.h"
#include "tiling.h"

namespace mfl::cuda {

struct HeadArguments {
  uint32_t volumes, plane, width, pitch, channels, classes;
  Activated from;
  const float *weights, *biases;
};

/** Rows of all volumes: one after the other, of (depth * height) lines. */
inline HeadArguments head_arguments(const Head &shape, const Activated &input, const float *weights, const float *biases) {
  const Grid &g = shape.grid;
  return {g.volumes, g.depth * g.height, g.width, row_pitch(g.width), shape.channels, shape.classes, input, weights, biases};
}

inline bool is_valid(const Head &shape) {
  return is_valid(shape.grid) && shape.channels >= 1 && shape.channels <= most_channels && shape.classes >= 2 &&
         shape.classes <= most_classes && (shape.precision == Precision::fp32 || shape.precision == Precision::bf16) &&
         static_cast<uint64_t>(shape.grid.volumes) * shape.grid.depth * shape.grid.height < uint64_t{1} << 31;
}

/** In single precision, what the loss of every voxel is made of. */
struct Smoothing {
  /** 1 - smoothing, smoothing / K, the sum of the class weights, 1 / the sum of the voxels' weights. */
  float sharp, smooth, all, inverse_total;

  __device__ __forceinline__ Smoothing(const LossTerms &terms, uint32_t classes)
      : sharp(static_cast<float>(1 - terms.smoothing)),
        smooth(static_cast<float>(terms.smoothing / classes)),
        all(static_cast<float>(terms.all)),
        inverse_total(static_cast<float>(1 / terms.total)) {}

  /** Before the division by the voxels' weights. log = the logarithm of the sum of e^(logit - most); own_logit is less most too; weighted =
   * the sum of class weights times (logit - most). */
  __device__ __forceinline__ float loss(float log, float own_weight, float own_logit, float weighted) const {
    return sharp * own_weight * (log - own_logit) + smooth * (all * log - weighted);
  }

  /** Gradient of the loss by one logit. */
  __device__ __forceinline__ float slope(float probability, float own_weight, bool own, float weight) const {
    const float by_probability = sharp * own_weight + smooth * all;
    return inverse_total * (probability * by_probability - (own ? sharp * own_weight : 0.0f) - smooth * weight);
  }
};

__device__ __forceinline__ float natural_logarithm(float x) {
#ifdef MFL_CUDA_SHIM
  return std::log(x);
#else
  return logf(x);
#endif
}

}  // namespace mfl::cuda
