/* How a convolution's grid is cut among blocks. With dilation r a voxel meets only planes z - r, z + r and lines y - r, y + r, so the planes of
 * one residue modulo r form a chain, and so do the lines. A block walks `links` consecutive planes of one chain; of each it
 * takes `rows` consecutive lines of one chain and `columns` voxels of a line. Whatever the dilation, what the block reads beyond its
 * own voxels is one line above, one below and one plane at either end; only along x it is the dilation itself. */
#pragma once

#include "device.h"

namespace mfl::cuda {

struct Tiling {
  uint32_t volumes, depth, height, width, pitch, dilation;
  /** Of a block. */
  uint32_t columns, rows, links;
  /** Voxels read to the left and to the right of the columns: the dilation rounded up to four. */
  uint32_t padding;
  uint32_t x_tiles, y_classes, y_tiles, z_classes, z_segments;
  /** Elements of one channel of one volume. */
  uint32_t channel;

  uint32_t items_per_volume() const { return x_tiles * y_classes * y_tiles * z_classes * z_segments; }
  uint32_t items() const { return volumes * items_per_volume(); }
};

/** Where an item lies. Lines of its chain are y = y_residue + k * dilation for k < y_count, planes likewise. */
struct Place {
  uint32_t volume;
  int x_first;
  int y_residue, y_first, y_count;
  int z_residue, z_first, z_end, z_count;
};

__device__ __forceinline__ int chain_length(uint32_t size, uint32_t residue, uint32_t dilation) {
  return residue < size ? static_cast<int>((size - residue + dilation - 1) / dilation) : 0;
}

__device__ __forceinline__ Place place_of(const Tiling &t, uint32_t item) {
  Place p;
  p.x_first = static_cast<int>(item % t.x_tiles * t.columns);
  item /= t.x_tiles;
  p.y_first = static_cast<int>(item % t.y_tiles * t.rows);
  item /= t.y_tiles;
  p.y_residue = static_cast<int>(item % t.y_classes);
  item /= t.y_classes;
  p.z_first = static_cast<int>(item % t.z_segments * t.links);
  item /= t.z_segments;
  p.z_residue = static_cast<int>(item % t.z_classes);
  p.volume = item / t.z_classes;
  p.y_count = chain_length(t.height, p.y_residue, t.dilation);
  p.z_count = chain_length(t.depth, p.z_residue, t.dilation);
  const int end = p.z_first + static_cast<int>(t.links);
  p.z_end = end < p.z_count ? end : p.z_count;
  return p;
}

/** The place of the block's item, in shared memory. Every thread must call it, once. */
__device__ __forceinline__ const Place &shared_place(const Tiling &t) {
  __shared__ Place place;
  if (threadIdx.x == 0) place = place_of(t, blockIdx.x);
  __syncthreads();
  return place;
}

/** Whether launchers take the shape at all. */
bool is_valid(const Grid &grid);
bool is_valid(const Convolution &shape);

/** For blocks of the given columns and rows. */
Tiling tiling_of(const Grid &grid, uint32_t dilation, uint32_t columns, uint32_t rows);

}  // namespace mfl::cuda
