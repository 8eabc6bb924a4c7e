/* The activations and their slopes. Which one is an argument, the same for a whole launch: a branch that all threads take alike. */
#pragma once

#include "device.h"

namespace mfl::cuda {

/** e^x within 2 units of the last place. */
__device__ __forceinline__ float exponential(float x) {
#ifdef MFL_CUDA_SHIM
  return std::exp(x);
#else
  return __expf(x);
#endif
}

__device__ __forceinline__ float normal_distribution(float u) { return 0.5f * erff(u * 0.70710678f) + 0.5f; }

__device__ __forceinline__ float activate(Activation activation, float u) {
  switch (activation) {
    // Near zero the subtraction leaves an absolute error of 6e-8, as large as that of an activation of 1.
    case Activation::elu: return u > 0 ? u : exponential(u) - 1.0f;
    // Written so that what is not a number stays so.
    case Activation::relu: return u < 0 ? 0.0f : u;
    case Activation::gelu: return u * normal_distribution(u);
    default: return u;
  }
}

__device__ __forceinline__ float slope_at(Activation activation, float u) {
  switch (activation) {
    case Activation::elu: return u > 0 ? 1.0f : exponential(u);
    case Activation::relu: return u > 0 ? 1.0f : 0.0f;
    case Activation::gelu: return multiply_add(u, 0.3989423f * exponential(-0.5f * u * u), normal_distribution(u));
    default: return 1.0f;
  }
}

/** What the next block reads of four z side by side, of which the first `valid` lie in the grid; zero beyond. k is null for the image. */
__device__ __forceinline__ void activate_quad(Activation activation, const Coefficients *k, int valid, float (&values)[4]) {
  if (activation != Activation::identity) {
    const float scale = k->scale, shift = k->shift, factor = k->factor;
#pragma unroll
    for (int i = 0; i < 4; i++) values[i] = factor * activate(activation, multiply_add(values[i], scale, shift));
  }
#pragma unroll
  for (int i = 0; i < 4; i++) values[i] = i < valid ? values[i] : 0.0f;
}

}  // namespace mfl::cuda
