/* The head with its loss and, when training, the way back to the last block's normalised values: the two kernels that do it and the
 * layout of what they add up.
 *
 * An item of the partial sums is (K, C) by weights, (K) by biases, the loss, then (2, C): sums of the gradient by normalised,
 * scaled values, and of its products with the normalised ones. */
#pragma once

#include "head.h"

namespace mfl::cuda {

constexpr uint32_t head_threads = 128;
/** Groups of four voxels that a thread of the small kernel takes in an item: few enough that its packed counts hold them. */
constexpr uint32_t head_quads = 16;

struct ScoreArguments {
  HeadArguments head;
  const uint8_t *truth;
  const double *loss;
  const LossTerms *terms;
  void *gradient;
  double *partials;
  unsigned long long *confusion;
  /** Doubles of an item. */
  uint32_t stride;
};

__host__ __device__ inline uint32_t head_stride(uint32_t channels, uint32_t classes) {
  return classes * (channels + 1) + 1 + 2 * channels;
}

/** Of five channels and two or three classes, which fit the registers of a thread. */
inline bool is_small(const Head &shape) { return shape.channels == 5 && shape.classes <= 3; }

Status score_small(cudaStream_t stream, const Head &shape, const ScoreArguments &a);
Status score_any(cudaStream_t stream, const Head &shape, const ScoreArguments &a);
uint32_t small_items(const Head &shape);
uint32_t any_items(const Head &shape);

}  // namespace mfl::cuda
