/* The 3x3x3 convolution on FMA, for any number of inputs: what the forward pass and the gradient by the data share.
 *
 * A block walks along a chain of planes (see tiling.h). Every plane it reads goes once, channel by channel, through shared
 * memory, already activated, and is added to the three output planes that it belongs to: a thread holds G channels x 4 lines x 3
 * planes of sums in registers, so that six values loaded from shared memory serve 180 multiply-adds when G is 5. While one
 * channel is added, the next is on its way from memory. */
#pragma once

#include "activation.h"
#include "output_sums.h"
#include "storage.h"
#include "tiling.h"

namespace mfl::cuda {

constexpr int march_threads = 256;
/** Lines of a thread. */
constexpr int march_lines = 4;
/** Output channels that a block computes at most; more are spread over several blocks. */
constexpr int march_group = 5;

struct March {
  Tiling tiling;
  uint32_t inputs, outputs;
  Activated from;
  const float *weights;
};

/** Floats that the weights of one input, kx and kz take: (3 ky, G), rounded up to whole vectors. */
template <int G>
constexpr int weight_stride = (3 * G + 3) / 4 * 4;

/** Floats of one channel of a plane in shared memory. */
inline __host__ __device__ uint32_t march_plane(const Tiling &t) { return (t.rows + 2) * (t.columns + 2 * t.padding); }

/** Threads of a block. */
inline uint32_t march_block(const Tiling &t) { return t.columns * t.rows / march_lines; }

template <int G>
size_t march_shared_bytes(const March &m) {
  const size_t floats = 9 * weight_stride<G> * m.inputs + 2 * march_plane(m.tiling);
  return sizeof(float) * floats + output_sums_bytes<G>(march_block(m.tiling));
}

/** One group of four voxels of a plane that a thread fetches: where in the plane, and how many lie in the grid. */
struct Fetch {
  uint32_t offset;
  int valid;
};

__device__ __forceinline__ Fetch fetch_of(const Tiling &t, const Place &p, uint32_t index) {
  const uint32_t quads = (t.columns + 2 * t.padding) / 4;
  const int k = p.y_first - 1 + static_cast<int>(index / quads);
  const int x = p.x_first - static_cast<int>(t.padding) + 4 * static_cast<int>(index % quads);
  const int y = p.y_residue + k * static_cast<int>(t.dilation);
  if (k < 0 || k >= p.y_count || x < 0 || x >= static_cast<int>(t.width)) return {0, 0};
  return {y * t.pitch + x, static_cast<int>(t.width) - x};
}

template <class T, int G>
struct Marcher {
  static constexpr int stride = weight_stride<G>;
  /** Quads that a thread fetches ahead; what a wide dilation needs beyond is loaded when its turn comes. */
  static constexpr int ahead = 2;

  const March &m;
  /** In shared memory: registers are scarce. */
  const Place &place;
  const uint32_t first_output;
  const uint32_t plane;
  float *const weights, *const planes;
  OutputSums<G> measured;
  int column, first_line;
  Fetch fetches[ahead];
  Quad<T> fetched[ahead];
  /** [kz that is still to come][line][output]. */
  float sums[3][march_lines][G];

  __device__ __forceinline__ Marcher(const March &march, const Place &at, uint32_t group)
      : m(march), place(at), first_output(group * G), plane(march_plane(march.tiling)),
        weights(reinterpret_cast<float *>(shared_memory())), planes(weights + 9 * stride * m.inputs), measured(planes + 2 * plane) {
    column = static_cast<int>(threadIdx.x % m.tiling.columns);
    first_line = static_cast<int>(threadIdx.x / m.tiling.columns) * march_lines;
#pragma unroll
    for (int i = 0; i < ahead; i++) {
      const uint32_t index = threadIdx.x + i * blockDim.x;
      fetches[i] = index < plane / 4 ? fetch_of(m.tiling, place, index) : Fetch{0, -1};
    }
    clear<0>();
    clear<1>();
    clear<2>();
  }

  template <int S>
  __device__ __forceinline__ void clear() {
#pragma unroll
    for (int line = 0; line < march_lines; line++) {
#pragma unroll
      for (int g = 0; g < G; g++) sums[S][line][g] = 0;
    }
  }

  /** The weights (Co, Ci, 27) of this block's outputs as (Ci, kx, kz, (ky, G)); mirrored: of the convolution that carries gradients
   * back, whose inputs are the outputs of the one that the weights are of. */
  template <bool mirrored>
  __device__ __forceinline__ void load_weights() {
    for (uint32_t i = threadIdx.x; i < 9 * stride * m.inputs; i += blockDim.x) {
      const uint32_t within = i % stride, kz = i / stride % 3, kx = i / stride / 3 % 3, input = i / stride / 9;
      const uint32_t ky = within / G, output = first_output + within % G, tap = (kz * 3 + ky) * 3 + kx;
      float weight = 0;
      if (ky < 3 && output < m.outputs) {
        weight = mirrored ? m.weights[(input * m.outputs + output) * 27 + 26 - tap] : m.weights[(output * m.inputs + input) * 27 + tap];
      }
      weights[i] = weight;
    }
  }

  __device__ __forceinline__ const T *source(int link, uint32_t input) const {
    const size_t z = place.z_residue + link * static_cast<int>(m.tiling.dilation);
    const size_t channel = static_cast<size_t>(place.volume) * m.inputs + input;
    return static_cast<const T *>(m.from.z) + channel * m.tiling.channel + z * m.tiling.height * m.tiling.pitch;
  }

  __device__ __forceinline__ void fetch(int link, uint32_t input) {
    const T *from = source(link, input);
#pragma unroll
    for (int i = 0; i < ahead; i++) {
      if (fetches[i].valid > 0) fetched[i] = load_quad(from + fetches[i].offset);
    }
  }

  __device__ __forceinline__ void put(float *to, uint32_t index, const Quad<T> &raw, int valid, const Coefficients *k) {
    float values[4] = {0, 0, 0, 0};
    if (valid > 0) {
      raw.widen_to(values);
      activate_quad(m.from.activation, scaling_of(k), valid, values);
    }
    reinterpret_cast<float4 *>(to)[index] = {values[0], values[1], values[2], values[3]};
  }

  /** What was fetched, and the rest of the plane, into shared memory. */
  __device__ __forceinline__ void store(int link, uint32_t input, int buffer) {
    const Coefficients *k = m.from.coefficients ? m.from.coefficients + (place.volume * m.inputs + input) : nullptr;
    float *to = planes + buffer * plane;
#pragma unroll
    for (int i = 0; i < ahead; i++) {
      if (fetches[i].valid >= 0) put(to, threadIdx.x + i * blockDim.x, fetched[i], fetches[i].valid, k);
    }
    for (uint32_t index = threadIdx.x + ahead * blockDim.x; index < plane / 4; index += blockDim.x) {
      const Fetch late = fetch_of(m.tiling, place, index);
      Quad<T> raw = {};
      if (late.valid > 0) raw = load_quad(source(link, input) + late.offset);
      put(to, index, raw, late.valid, k);
    }
  }

  __device__ __forceinline__ void add(uint32_t input, int buffer) {
    const uint32_t row = m.tiling.columns + 2 * m.tiling.padding;
    const float *from = planes + buffer * plane + first_line * row + m.tiling.padding + column - m.tiling.dilation;
    const float *w = weights + input * 9 * stride;
    // Not unrolled: 180 multiply-adds hide the loop, and the code stays in the instruction cache.
#pragma unroll 1
    for (int kx = 0; kx < 3; kx++) {
      float values[march_lines + 2];
#pragma unroll
      for (int i = 0; i < march_lines + 2; i++) values[i] = from[i * row];
      from += m.tiling.dilation;
#pragma unroll
      for (int kz = 0; kz < 3; kz++) {
        float tap[stride];
#pragma unroll
        for (int i = 0; i < stride / 4; i++) {
          const float4 four = reinterpret_cast<const float4 *>(w)[i];
          tap[4 * i] = four.x;
          tap[4 * i + 1] = four.y;
          tap[4 * i + 2] = four.z;
          tap[4 * i + 3] = four.w;
        }
        w += stride;
#pragma unroll
        for (int ky = 0; ky < 3; ky++) {
#pragma unroll
          for (int line = 0; line < march_lines; line++) {
#pragma unroll
            for (int g = 0; g < G; g++) {
              sums[2 - kz][line][g] = multiply_add(values[line + ky], tap[ky * G + g], sums[2 - kz][line][g]);
            }
          }
        }
      }
    }
  }

  __device__ __forceinline__ void advance() {
#pragma unroll
    for (int line = 0; line < march_lines; line++) {
#pragma unroll
      for (int g = 0; g < G; g++) {
        sums[0][line][g] = sums[1][line][g];
        sums[1][line][g] = sums[2][line][g];
      }
    }
    clear<2>();
  }

  /** Calls finish(z, sums of 4 lines) for every plane of the item. */
  template <class Finish>
  __device__ __forceinline__ void walk(Finish &&finish) {
    if (place.z_first >= place.z_end || place.y_first >= place.y_count) return;
    const int begin = place.z_first > 0 ? place.z_first - 1 : 0;
    const int last = place.z_end < place.z_count ? place.z_end : place.z_count - 1;
    int buffer = 0;
    fetch(begin, 0);
    store(begin, 0, 0);
    __syncthreads();
    for (int link = begin; link <= last; link++) {
      for (uint32_t input = 0; input < m.inputs; input++) {
        const bool wraps = input + 1 == m.inputs;
        const int next_link = wraps ? link + 1 : link;
        const uint32_t next_input = wraps ? 0 : input + 1;
        if (next_link <= last) fetch(next_link, next_input);
        add(input, buffer);
        if (next_link <= last) store(next_link, next_input, buffer ^ 1);
        buffer ^= 1;
        __syncthreads();
      }
      if (link > place.z_first) finish(link - 1, sums[0]);
      advance();
    }
    // The plane beyond the end of a chain is zero.
    if (place.z_end == place.z_count) finish(place.z_count - 1, sums[0]);
  }

  /** y of a line of this thread; false when it is none. */
  __device__ __forceinline__ bool line_at(int line, int *y) const {
    const int k = place.y_first + first_line + line;
    *y = place.y_residue + k * static_cast<int>(m.tiling.dilation);
    return k < place.y_count;
  }
};

/** How the blocks of a march are shaped. */
inline Tiling march_tiling(const Grid &grid, uint32_t dilation) {
  const uint32_t columns = grid.width > 64 ? 128 : grid.width > 32 ? 64 : 32;
  const uint32_t wanted = divide_up(divide_up(grid.height, dilation), march_lines);
  const uint32_t most = march_threads / columns;
  return tiling_of(grid, dilation, columns, march_lines * (wanted < most ? wanted : most));
}

/** Channels of a block, where `outputs` are spread over as few blocks as can be. */
inline uint32_t march_channels(uint32_t outputs) { return divide_up(outputs, divide_up(outputs, march_group)); }

}  // namespace mfl::cuda
