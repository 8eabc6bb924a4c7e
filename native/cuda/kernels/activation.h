/* The activations and their slopes. Which one is an argument, the same for a whole launch: a branch that all threads take alike, taken
 * once for several values. */
#pragma once

#include "device.h"

namespace mfl::cuda {

constexpr float log2_of_e = 1.4426950408889634f;

/** 2^x within two units of the last place; what is smaller than the smallest normal number is zero. */
__device__ __forceinline__ float power_of_2(float x) {
#ifdef MFL_CUDA_SHIM
  return std::exp2(x);
#else
  // Not exp2f: that takes instructions more to be right about denormal numbers.
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
#endif
}

/** e^x within 2 + |x| units of the last place, small ones as power_of_2. */
__device__ __forceinline__ float exponential(float x) {
#ifdef MFL_CUDA_SHIM
  return std::exp(x);
#else
  return power_of_2(x * log2_of_e);
#endif
}

__device__ __forceinline__ float normal_distribution(float u) { return 0.5f * erff(u * 0.70710678f) + 0.5f; }

/** `positive` where u > 0, else `other`. Chosen, not branched to: what it is chosen from is computed side by side for many values. */
__device__ __forceinline__ float choose_by_sign(float u, float positive, float other) {
#ifdef MFL_CUDA_SHIM
  return u > 0 ? positive : other;
#else
  float chosen;
  asm("{.reg .pred p; setp.gt.f32 p, %1, 0f00000000; selp.f32 %0, %2, %3, p;}" : "=f"(chosen) : "f"(u), "f"(positive), "f"(other));
  return chosen;
#endif
}

__device__ __forceinline__ float activate(Activation activation, float u) {
  switch (activation) {
    // Near zero the subtraction leaves an absolute error of 6e-8, as large as that of an activation of 1.
    case Activation::elu: return choose_by_sign(u, u, exponential(u) - 1.0f);
    // Written so that what is not a number stays so.
    case Activation::relu: return u < 0 ? 0.0f : u;
    case Activation::gelu: return u * normal_distribution(u);
    default: return u;
  }
}

__device__ __forceinline__ float slope_at(Activation activation, float u) {
  switch (activation) {
    case Activation::elu: return choose_by_sign(u, 1.0f, exponential(u));
    case Activation::relu: return u > 0 ? 1.0f : 0.0f;
    case Activation::gelu: return multiply_add(u, 0.3989423f * exponential(-0.5f * u * u), normal_distribution(u));
    default: return 1.0f;
  }
}

/** What a kernel was compiled for: none, the activation of the default model, without the registers that the others' code would take, or whichever
 * its argument names. */
enum class Compiled { identity, elu, any };

/** The activation that a kernel compiled for `known` has. */
template <Compiled known>
__device__ __forceinline__ Activation activation_of(Activation given) {
  return known == Compiled::identity ? Activation::identity : known == Compiled::elu ? Activation::elu : given;
}

/** values = factor * of(activation, values). */
template <int N, class Of>
__device__ __forceinline__ void apply_to_all(Activation activation, float factor, float (&values)[N], Of of) {
  if (activation == Activation::elu) {
#pragma unroll
    for (int i = 0; i < N; i++) values[i] = factor * of(Activation::elu, values[i]);
  } else {
#pragma unroll
    for (int i = 0; i < N; i++) values[i] = factor * of(activation, values[i]);
  }
}

/** values = factor * activation(values). */
template <int N>
__device__ __forceinline__ void activate_all(Activation activation, float factor, float (&values)[N]) {
  apply_to_all(activation, factor, values, [](Activation which, float u) { return activate(which, u); });
}

/** values = factor * the slope of the activation at values. */
template <int N>
__device__ __forceinline__ void slopes_at_all(Activation activation, float factor, float (&values)[N]) {
  apply_to_all(activation, factor, values, [](Activation which, float u) { return slope_at(which, u); });
}

/** What a channel's z is made into before the next block multiplies it: factor * activation(scale * z + shift). */
struct alignas(16) Scaling {
  float scale, shift, factor, unused;
};

/** That of a channel; the image's, which has no coefficients, changes nothing. */
__device__ __forceinline__ Scaling scaling_of(const Coefficients *k) {
  if (!k) return {1, 0, 1, 0};
  return {k->scale, k->shift, k->factor, 0};
}

/** What the next block reads of four z side by side, of which the first `valid` lie in the grid; zero beyond. */
__device__ __forceinline__ void activate_quad(Activation activation, const Scaling &k, int valid, float (&values)[4]) {
  if (activation != Activation::identity) {
#pragma unroll
    for (int i = 0; i < 4; i++) values[i] = multiply_add(values[i], k.scale, k.shift);
    activate_all(activation, k.factor, values);
  }
  if (valid >= 4) return;
#pragma unroll
  for (int i = 0; i < 4; i++) values[i] = i < valid ? values[i] : 0.0f;
}

}  // namespace mfl::cuda
