/* How a march (march.h) is cut among blocks and laid out in shared memory. */
#pragma once

#include "activation.h"
#include "output_sums.h"
#include "tiling.h"

namespace mfl::cuda {

constexpr int march_threads = 256;
/** Lines of a thread. */
constexpr int march_lines = 4;
/** Output channels that a block computes at most; more are spread over several blocks. */
constexpr int march_group = 5;
/** Input channels in shared memory at a time, at most. */
constexpr uint32_t march_inputs = 5;
/** Elements from one line in shared memory to the next: a constant, so that lines are addressed by immediates. It holds 128 columns at
 * dilations up to 16, and 32 at any. */
constexpr int march_pitch = 160;
constexpr uint32_t march_columns = 128, march_wide_dilation = 16, march_narrow_columns = 32;

struct March {
  Tiling tiling;
  uint32_t inputs, outputs;
  /** Input channels in shared memory at a time. */
  uint32_t chunk;
  Activated from;
  const float *weights;
};

/** Floats that the weights of one input, kx and kz take: (3 ky, G), rounded up to whole vectors. */
template <int G>
constexpr int weight_stride = (3 * G + 3) / 4 * 4;

/** Groups of four voxels of one channel of a plane that a block reads. */
inline __host__ __device__ uint32_t march_quads(const Tiling &t) { return (t.rows + 2) * (t.columns + 2 * t.padding) / 4; }

/** Elements of one channel of a plane in shared memory. */
inline __host__ __device__ uint32_t march_plane(const Tiling &t) { return (t.rows + 2) * march_pitch; }

/** Threads of a block. */
inline __host__ __device__ uint32_t march_block(const Tiling &t) { return t.columns * t.rows / march_lines; }

/** Quads that a thread begins to load before it uses the first. */
constexpr uint32_t march_batch = 4;

/** Entries of the table of all channels' quads: whole batches of every thread. */
inline __host__ __device__ uint32_t march_table(const Tiling &t, uint32_t inputs) {
  const uint32_t batch = march_batch * march_block(t);
  return divide_up(inputs * march_quads(t), batch) * batch;
}

/** One group of four voxels of a plane that a block reads. */
struct alignas(8) Fetch {
  /** Elements from the beginning of the plane in the tensor. */
  uint32_t from;
  /** Elements from the beginning of the plane in shared memory. */
  uint16_t to;
  /** How many lie in the grid, from the first on. */
  uint16_t valid;
};

/** One of a table of all channels, in the place of a Fetch. */
struct alignas(8) ChannelFetch {
  uint32_t from;
  uint16_t to;
  uint8_t valid, channel;
};

/** By one load. */
__device__ __forceinline__ ChannelFetch load_fetch(const ChannelFetch *from) {
  const uint2 words = *reinterpret_cast<const uint2 *>(from);
  return {words.x, static_cast<uint16_t>(words.y), static_cast<uint8_t>(words.y >> 16), static_cast<uint8_t>(words.y >> 24)};
}

__device__ __forceinline__ Fetch fetch_of(const Tiling &t, const Place &p, uint32_t index, uint32_t pitch) {
  const uint32_t quads = (t.columns + 2 * t.padding) / 4, line = index / quads, quad = index % quads;
  const int k = p.y_first - 1 + static_cast<int>(line);
  const int x = p.x_first - static_cast<int>(t.padding) + 4 * static_cast<int>(quad);
  const int y = p.y_residue + k * static_cast<int>(t.dilation);
  const uint16_t to = static_cast<uint16_t>(line * pitch + 4 * quad);
  if (k < 0 || k >= p.y_count || x < 0 || x >= static_cast<int>(t.width)) return {0, to, 0};
  const uint32_t valid = t.width - static_cast<uint32_t>(x);
  return {y * t.pitch + x, to, static_cast<uint16_t>(valid < 4 ? valid : 4)};
}

/** Where a plane of a chain begins in a channel. */
__device__ __forceinline__ size_t plane_at(const Tiling &t, const Place &p, int link) {
  return static_cast<size_t>(p.z_residue + link * static_cast<int>(t.dilation)) * t.height * t.pitch;
}

/** Bytes of what a march keeps in shared memory beside its planes; each part is a multiple of 16. */
template <int G>
size_t march_fixed_bytes(const Tiling &t, uint32_t inputs, bool with_outputs) {
  // Of all channels in a convolution that takes them some at a time; only one that carries gradients back has outputs there.
  const size_t quads = !with_outputs && inputs == march_inputs ? march_table(t, inputs) : march_quads(t);
  const size_t fetches = (sizeof(Fetch) * quads + 15) / 16 * 16;
  const size_t tables = sizeof(Scaling) * inputs + sizeof(float) * 9 * weight_stride<G> * inputs + fetches;
  const size_t outputs = with_outputs ? sizeof(float) * G * march_lines * march_block(t) : 0;
  return tables + outputs + output_sums_bytes<G>(march_block(t));
}

inline size_t march_planes_bytes(const Tiling &t, uint32_t chunk) { return sizeof(float) * 2 * chunk * march_plane(t); }

template <int G>
size_t march_shared_bytes(const March &m, bool with_outputs) {
  return march_fixed_bytes<G>(m.tiling, m.inputs, with_outputs) + march_planes_bytes(m.tiling, m.chunk);
}

/** Whether every block's every voxel lies in the grid. */
inline bool is_whole(const Tiling &t) {
  // Kernels for these count the elements of all channels of a volume in 32 bits.
  return t.width % t.columns == 0 && t.height % (t.rows * t.dilation) == 0 && t.channel < (uint32_t{1} << 31) / march_inputs;
}

/** What kernels that march have of static shared memory, at most: a place and a group's coefficients. */
constexpr size_t march_static_bytes = 256;
static_assert(sizeof(Place) + march_group * sizeof(Coefficients) <= march_static_bytes);

/** What is left for the rest. */
inline size_t march_room(const Device &device) { return device.shared_bytes - march_static_bytes; }

/** How the blocks of a march are shaped: as wide as they can be where two planes of one channel fit, with all that the largest kernel keeps. */
inline Tiling march_tiling(const Device &device, const Convolution &shape) {
  const Grid &grid = shape.grid;
  const uint32_t lines = divide_up(grid.height, shape.dilation);
  const uint32_t columns = grid.width > 64 ? march_columns : grid.width > 32 ? 64 : 32;
  const uint32_t inputs = shape.inputs > shape.outputs ? shape.inputs : shape.outputs;
  if (shape.dilation <= march_wide_dilation) {
    const Tiling wide = tiling_of(grid, shape.dilation, columns, lines > march_lines ? 2 * march_lines : march_lines);
    if (march_fixed_bytes<march_group>(wide, inputs, true) + march_planes_bytes(wide, 1) <= march_room(device)) return wide;
  }
  return tiling_of(grid, shape.dilation, march_narrow_columns, march_lines);
}

/** As many channels at a time as fit. */
template <int G>
uint32_t march_chunk(const Device &device, const Tiling &t, uint32_t inputs, bool with_outputs) {
  uint32_t chunk = inputs < march_inputs ? inputs : march_inputs;
  while (chunk > 1 && march_fixed_bytes<G>(t, inputs, with_outputs) + march_planes_bytes(t, chunk) > march_room(device)) chunk--;
  return chunk;
}

/** Channels of a block, where `outputs` are spread over as few blocks as can be. */
inline uint32_t march_channels(uint32_t outputs) { return divide_up(outputs, divide_up(outputs, march_group)); }

}  // namespace mfl::cuda
