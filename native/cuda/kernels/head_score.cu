/* The loss, the confusion counts and the gradients of the head: which kernel takes them, and what their items add up to. */
#include "head_score.h"

#include "item_sums.h"

namespace mfl::cuda {

namespace {

uint32_t items_of(const Head &shape) { return is_small(shape) ? small_items(shape) : any_items(shape); }

/** One block a column of the items: the parameters' gradients, and the loss; the last block copies the counts. */
__global__ void finish_kernel(const double *partials, uint32_t items, uint32_t stride, uint32_t channels, uint32_t classes,
                              const LossTerms *terms, const unsigned long long *confusion, double *score, float *by_weights,
                              float *by_biases) {
  const uint32_t column = blockIdx.x, weights = classes * channels;
  if (column > weights + classes) {
    for (uint32_t pair = threadIdx.x; pair < classes * classes; pair += finish_threads) score[1 + pair] = static_cast<double>(confusion[pair]);
    return;
  }
  const double sum = sum_items(partials + column, items, stride);
  if (threadIdx.x > 0) return;
  if (column == weights + classes) {
    score[0] = sum / terms->total;
  } else if (column >= weights) {
    if (by_biases) by_biases[column - weights] = static_cast<float>(sum);
  } else if (by_weights) {
    by_weights[column] = static_cast<float>(sum);
  }
}

}  // namespace

size_t head_partials(const Device &, const Head &shape) {
  return is_valid(shape) ? static_cast<size_t>(items_of(shape)) * head_stride(shape.channels, shape.classes) : 0;
}

GradientSums head_sums(const Device &, const Head &shape, const double *partials) {
  return {partials, items_of(shape), head_stride(shape.channels, shape.classes), shape.classes * (shape.channels + 1) + 1};
}

Status head_score(cudaStream_t stream, const Device &, const Head &shape, const Activated &input, const float *weights,
                  const float *biases, const uint8_t *truth, const double *loss, const LossTerms *terms, void *gradient,
                  double *partials, unsigned long long *confusion) {
  if (!is_valid(shape) || !input.z || !input.coefficients || !weights || !biases || !truth || !loss || !terms || !partials || !confusion) {
    return Status::invalid_argument;
  }
  const size_t pairs = static_cast<size_t>(shape.classes) * shape.classes;
  if (cudaMemsetAsync(confusion, 0, pairs * sizeof *confusion, stream) != cudaSuccess) return Status::launch_failed;
  const ScoreArguments a = {head_arguments(shape, input, weights, biases), truth, loss, terms, gradient, partials, confusion,
                            head_stride(shape.channels, shape.classes)};
  return is_small(shape) ? score_small(stream, shape, a) : score_any(stream, shape, a);
}

Status finish_score(cudaStream_t stream, const Device &, const Head &shape, const double *partials, const LossTerms *terms,
                    const unsigned long long *confusion, double *score, float *by_weights, float *by_biases) {
  if (!is_valid(shape) || !partials || !terms || !confusion || !score) return Status::invalid_argument;
  return launch(stream, dim3(shape.classes * (shape.channels + 1) + 2), dim3(finish_threads), 0, finish_kernel, partials,
                items_of(shape), head_stride(shape.channels, shape.classes), shape.channels, shape.classes, terms, confusion, score,
                by_weights, by_biases);
}

}  // namespace mfl::cuda
