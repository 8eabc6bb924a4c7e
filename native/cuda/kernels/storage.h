/* Elements of tensors: fp32, or bf16 rounded to nearest even; four at a time, or one. */
#pragma once

#include "device.h"

namespace mfl::cuda {

struct Bfloat16 {
  uint16_t bits;
};

__device__ __forceinline__ float widen(float value) { return value; }
__device__ __forceinline__ float widen(Bfloat16 value) { return __uint_as_float(static_cast<uint32_t>(value.bits) << 16); }

template <class T>
__device__ __forceinline__ T narrow(float value);

template <>
__device__ __forceinline__ float narrow<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ Bfloat16 narrow<Bfloat16>(float value) {
#ifdef MFL_CUDA_SHIM
  const uint32_t bits = __float_as_uint(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return {0x7fff};
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
#else
  return {__bfloat16_as_ushort(__float2bfloat16_rn(value))};
#endif
}

/** Two as one word, `low` in the lower half. */
__device__ __forceinline__ uint32_t narrow_pair(float low, float high) {
#if defined(MFL_CUDA_SHIM) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800)
  return narrow<Bfloat16>(low).bits | static_cast<uint32_t>(narrow<Bfloat16>(high).bits) << 16;
#else
  // As __floats2bfloat162_rn, without the halves that it is taken apart into.
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#endif
}

/** The two values of a word. */
__device__ __forceinline__ float lower_of(uint32_t word) { return __uint_as_float(word << 16); }
__device__ __forceinline__ float upper_of(uint32_t word) { return __uint_as_float(word & 0xffff0000u); }

/** Four elements side by side as they lie in memory. */
template <class T>
struct Quad;
template <>
struct Quad<float> {
  float4 raw;
  __device__ __forceinline__ void widen_to(float (&to)[4]) const {
    to[0] = raw.x;
    to[1] = raw.y;
    to[2] = raw.z;
    to[3] = raw.w;
  }
  __device__ __forceinline__ static Quad narrowed(const float (&from)[4]) { return {{from[0], from[1], from[2], from[3]}}; }
};
template <>
struct Quad<Bfloat16> {
  uint2 raw;
  __device__ __forceinline__ void widen_to(float (&to)[4]) const {
    to[0] = lower_of(raw.x);
    to[1] = upper_of(raw.x);
    to[2] = lower_of(raw.y);
    to[3] = upper_of(raw.y);
  }
  __device__ __forceinline__ static Quad narrowed(const float (&from)[4]) {
    return {{narrow_pair(from[0], from[1]), narrow_pair(from[2], from[3])}};
  }
};

/** `from` is aligned to four elements. */
template <class T>
__device__ __forceinline__ Quad<T> load_quad(const T *from) {
  return *reinterpret_cast<const Quad<T> *>(from);
}
template <class T>
__device__ __forceinline__ void store_quad(T *to, const float (&values)[4]) {
  *reinterpret_cast<Quad<T> *>(to) = Quad<T>::narrowed(values);
}

}  // namespace mfl::cuda
