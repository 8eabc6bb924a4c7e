/* The dialect of CUDA that meshfl's kernels are written in, for a plain C++ compiler: qualifiers, indices, barriers, exchanges between
 * the lanes of a warp, atomics on integers. */
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "fibres.h"
#include "stream.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
// Blocks run one after the other, their threads on one thread of the system.
#define __shared__ static

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};

#define threadIdx (::mfl::shim::thread_index)
#define blockIdx (::mfl::shim::block_index)
#define blockDim (::mfl::shim::block_size)
#define gridDim (::mfl::shim::grid_size)

inline void __syncthreads() { mfl::shim::wait_for_block(); }

namespace mfl::shim {

/** What a butterfly of five __shfl_xor_sync sums up to, with one exchange: switching fibres is what takes the time here. */
template <class N>
N sum_lanes(N value) {
  const char *slots = exchange(&value, sizeof value);
  N sums[32];
  for (int lane = 0; lane < 32; lane++) std::memcpy(&sums[lane], slots + lane * 64, sizeof(N));
  for (int half = 16; half > 0; half /= 2) {
    for (int lane = 0; lane < half; lane++) sums[lane] += sums[lane + half];
  }
  return sums[0];
}

}  // namespace mfl::shim

template <class T>
T atomicAdd(T *to, T value) {
  static_assert(std::is_integral_v<T>, "sums of floats would depend on the order of threads");
  T before = *to;
  *to += value;
  return before;
}

inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
