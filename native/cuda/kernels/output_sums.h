/* Two sums over voxels for each of G output channels: what a march measures on its way. They lie in shared memory, where each thread
 * adds to its own once a plane: registers are what a march has none left of. */
#pragma once

#include "device.h"

namespace mfl::cuda {

template <int G>
struct OutputSums {
  /** [2 G][threads] */
  float *sums;

  __device__ __forceinline__ explicit OutputSums(float *shared) : sums(shared) {
    for (int i = 0; i < 2 * G; i++) sums[i * blockDim.x + threadIdx.x] = 0;
  }

  __device__ __forceinline__ void add(int output, float first, float second) {
    sums[output * blockDim.x + threadIdx.x] += first;
    sums[(G + output) * blockDim.x + threadIdx.x] += second;
  }

  /** partials (items, 2, outputs): those of the block's item and of its G outputs from `first`. Every thread must call it. */
  __device__ __forceinline__ void write(uint32_t outputs, uint32_t first, double *partials) {
    __syncthreads();
    const uint32_t warp = threadIdx.x / warp_size, lane = threadIdx.x % warp_size, warps = blockDim.x / warp_size;
    for (uint32_t i = warp; i < 2 * G; i += warps) {
      double sum = 0;
      for (uint32_t thread = lane; thread < blockDim.x; thread += warp_size) sum += sums[i * blockDim.x + thread];
      sum = warp_sum(sum);
      const uint32_t output = first + i % G;
      if (lane == 0 && output < outputs) partials[(static_cast<size_t>(blockIdx.x) * 2 + i / G) * outputs + output] = sum;
    }
  }
};

template <int G>
size_t output_sums_bytes(uint32_t threads) {
  return sizeof(float) * 2 * G * threads;
}

}  // namespace mfl::cuda
