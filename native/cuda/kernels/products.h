/* What both kernels of the weight gradient share: what they are given, and how they come by the gradient by z. */
#pragma once

#include "tile_march.h"

namespace mfl::cuda {

struct Products {
  Tiling tiling;
  uint32_t inputs, outputs;
  Activated from;
  /** Of the gradient by z, when it is still to be made from these. */
  const Coefficients *coefficients;
  const void *gradient;
  void *z;
};

/** values = the gradient by z as it is stored, from z in values and from the gradient by normalised, scaled values in slopes; zero from
 * `valid` on. */
template <class T>
__device__ __forceinline__ void through_normalisation(const Coefficients &k, int valid, const float (&slopes)[4], float (&values)[4]) {
  const float by_slope = k.by_slope, by_z = k.by_z, constant = k.constant;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float value = multiply_add(by_slope, slopes[i], multiply_add(by_z, values[i], constant));
    values[i] = widen(narrow<T>(value));
  }
  if (valid >= 4) return;
#pragma unroll
  for (int i = 0; i < 4; i++) values[i] = i < valid ? values[i] : 0.0f;
}

/** The weight gradient on tensor cores: how its blocks are shaped, and its launch; made as in weight_gradient.cu, which takes one group. */
Tiling product_tiles_tiling(const Convolution &shape);
bool is_one_group_of_tiles(const Convolution &shape);
Status multiply_tiles(cudaStream_t stream, const Products &p, double *partials);

}  // namespace mfl::cuda
