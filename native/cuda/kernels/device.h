/* What kernels are written against: CUDA, or the shim that runs them on the host. */
#pragma once

#include "launch.h"

#ifdef MFL_CUDA_SHIM
#include "../shim/device.h"
#else
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#endif

namespace mfl::cuda {

constexpr int warp_size = 32;

/** The block's dynamic shared memory. */
__device__ __forceinline__ char *shared_memory() {
#ifdef MFL_CUDA_SHIM
  return static_cast<char *>(shim::dynamic_shared());
#else
  extern __shared__ __align__(16) char memory[];
  return memory;
#endif
}

/** a * b + c; fused on a GPU. */
__device__ __forceinline__ float multiply_add(float a, float b, float c) {
#ifdef MFL_CUDA_SHIM
  return a * b + c;
#else
  return fmaf(a, b, c);
#endif
}

/** Four of the eight bytes of a (0 to 3) and b (4 to 7), the lowest hexadecimal digit of the selector naming the lowest. */
__device__ __forceinline__ uint32_t permute_bytes(uint32_t a, uint32_t b, uint32_t selector) {
#ifdef MFL_CUDA_SHIM
  const uint64_t both = a | static_cast<uint64_t>(b) << 32;
  uint32_t result = 0;
  for (int i = 0; i < 4; i++) result |= static_cast<uint32_t>(both >> (8 * (selector >> (4 * i) & 7)) & 0xff) << (8 * i);
  return result;
#else
  return __byte_perm(a, b, selector);
#endif
}

/** The sum over the lanes of a warp, the same bits in all of them. All lanes must call it. */
template <class N>
__device__ __forceinline__ N warp_sum(N value) {
#ifdef MFL_CUDA_SHIM
  return shim::sum_lanes(value);
#else
#pragma unroll
  for (int mask = warp_size / 2; mask > 0; mask /= 2) value += __shfl_xor_sync(0xffffffffu, value, mask);
  return value;
#endif
}

/** Puts a kernel on a stream. */
template <class... Parameters, class... Arguments>
Status launch(cudaStream_t stream, dim3 grid, dim3 block, size_t shared_bytes, void (*kernel)(Parameters...), Arguments... arguments) {
#ifdef MFL_CUDA_SHIM
  shim::enqueue(stream, [=] {
    const auto body = [=] { kernel(Parameters(arguments)...); };
    shim::run_grid({grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared_bytes, body);
  });
  return Status::ok;
#else
  // Above 48 KiB, what a kernel has of static shared memory among it, it has to be allowed by name.
  if (shared_bytes > 40 * 1024 &&
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)) != cudaSuccess) {
    return Status::launch_failed;
  }
  kernel<<<grid, block, shared_bytes, stream>>>(Parameters(arguments)...);
  return cudaPeekAtLastError() == cudaSuccess ? Status::ok : Status::launch_failed;
#endif
}

__host__ __device__ inline uint32_t divide_up(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

}  // namespace mfl::cuda
