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
    values[i] = i < valid ? widen(narrow<T>(value)) : 0.0f;
  }
}

/** Calls put(g, group of four voxels, values) for the gradient by z of a plane (G, rows, columns), zero beyond the grid; made: computed
 * from that by normalised, scaled values, and left in the place of z. */
template <class T, int G, bool made, class Put>
__device__ __forceinline__ void load_gradient(const Products &p, const Place &place, uint32_t first, int link, Put &&put) {
  const Tiling &t = p.tiling;
  const uint32_t row = t.columns / 4;
  const size_t plane = static_cast<size_t>(place.z_residue + link * static_cast<int>(t.dilation)) * t.height * t.pitch;
  for (uint32_t index = threadIdx.x; index < t.rows * row; index += blockDim.x) {
    const int k = place.y_first + static_cast<int>(index / row);
    const int x = place.x_first + 4 * static_cast<int>(index % row);
    const int valid = k < place.y_count ? static_cast<int>(t.width) - x : 0;
    const size_t voxel = plane + static_cast<size_t>(place.y_residue + k * static_cast<int>(t.dilation)) * t.pitch + x;
#pragma unroll
    for (int g = 0; g < G; g++) {
      float values[4] = {0, 0, 0, 0};
      if (valid > 0 && first + g < p.outputs) {
        const uint32_t channel = place.volume * p.outputs + first + g;
        const size_t at = channel * static_cast<size_t>(t.channel) + voxel;
        T *z = static_cast<T *>(p.z) + at;
        load_quad(z).widen_to(values);
        if (made) {
          float slopes[4];
          load_quad(static_cast<const T *>(p.gradient) + at).widen_to(slopes);
          through_normalisation<T>(p.coefficients[channel], valid, slopes, values);
          store_quad(z, values);
        }
      }
      put(g, index, values);
    }
  }
}

/** Calls put(c, group of four voxels, values) for the activated input of a plane (CI, rows + 2, columns + 2 padding); zero beyond the grid. */
template <class T, int CI, class Put>
__device__ __forceinline__ void load_input(const Products &p, const Place &place, uint32_t first, int link, Put &&put) {
  const Tiling &t = p.tiling;
  const uint32_t quads = march_quads(t);
  const bool inside = link >= 0 && link < place.z_count;
  const size_t z = inside ? place.z_residue + link * static_cast<int>(t.dilation) : 0;
  const T *from = static_cast<const T *>(p.from.z) + (static_cast<size_t>(place.volume) * p.inputs + first) * t.channel + z * t.height * t.pitch;
  for (uint32_t index = threadIdx.x; index < quads; index += blockDim.x) {
    const Fetch fetch = fetch_of(t, place, index, t.columns + 2 * t.padding);
#pragma unroll
    for (int c = 0; c < CI; c++) {
      float values[4] = {0, 0, 0, 0};
      if (inside && fetch.valid > 0 && first + c < p.inputs) {
        load_quad(from + c * static_cast<size_t>(t.channel) + fetch.from).widen_to(values);
        activate_quad(p.from.activation, scaling_of(p.from.coefficients ? p.from.coefficients + (place.volume * p.inputs + first + c) : nullptr), fetch.valid, values);
      }
      put(c, index, values);
    }
  }
}

/** The weight gradient on tensor cores: how its blocks are shaped, and its launch; made as in load_gradient, which takes one group. */
Tiling product_tiles_tiling(const Convolution &shape);
bool is_one_group_of_tiles(const Convolution &shape);
Status multiply_tiles(cudaStream_t stream, const Products &p, double *partials);

}  // namespace mfl::cuda
