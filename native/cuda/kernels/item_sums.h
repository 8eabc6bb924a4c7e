/* Sums over items in a fixed order: what finish_ kernels begin with. */
#pragma once

#include "device.h"

namespace mfl::cuda {

constexpr int finish_threads = 256;

/** The sum over items of partials[item * stride], the same in every thread. A thread adds every 256th, then neighbours are added by halves:
 * an order that depends on the count alone. Every thread of a block of finish_threads must call it. */
__device__ __forceinline__ double sum_items(const double *partials, uint32_t items, uint32_t stride) {
  __shared__ double sums[finish_threads];
  double sum = 0;
  for (uint32_t item = threadIdx.x; item < items; item += finish_threads) sum += partials[static_cast<size_t>(item) * stride];
  sums[threadIdx.x] = sum;
  __syncthreads();
  for (uint32_t half = finish_threads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  sum = sums[0];
  __syncthreads();
  return sum;
}

}  // namespace mfl::cuda
