/* The 3x3x3 convolution on tensor cores, in bf16 with float sums, for any number of inputs.
 *
 * As march.h walks, but a warp takes 16 voxels of a line x 4 lines. The three kx of five input channels are fifteen of the sixteen
 * products that one tile multiplies deep, so that a tile of inputs, made once, serves all nine (kz, ky): 36 products of tiles
 * for six tiles of inputs. 75 of its 128 products are useful.
 *
 * In shared memory a plane of five channels is three planes of words: channels 0 and 1, channels 2 and 3, channel 4 and zero. Slots of the
 * depth, in pairs: (0 1) kx 0, (0 1) kx 1, (2 3) kx 0, (2 3) kx 1, (0 1) kx 2, (2 3) kx 2, (4) kx 0 and 2, (4) kx 1 and none. */
#pragma once

#include "march.h"
#include "tile_mma.h"

namespace mfl::cuda {

/** Input channels of a tile. */
constexpr int tile_inputs = 5;

inline __host__ __device__ uint32_t tile_chunks(uint32_t inputs) { return divide_up(inputs, tile_inputs); }

/** Blocks of columns x rows, a warp to 16 x 4. */
inline Tiling tile_tiling(const Grid &grid, uint32_t dilation) {
  const uint32_t lines = divide_up(grid.height, dilation);
  return tiling_of(grid, dilation, grid.width > 32 ? 64 : 32, lines > march_lines ? 2 * march_lines : march_lines);
}

inline __host__ __device__ uint32_t tile_block(const Tiling &t) { return t.columns / tile_rows * (t.rows / march_lines) * warp_size; }

/** Words of a plane of two channels, and some between: with them the pairs of a warp's lanes, a dilation apart, mostly lie in banks of
 * their own. */
inline __host__ __device__ uint32_t tile_plane(const Tiling &t) {
  const uint32_t words = march_plane(t), bank = t.dilation % 32 == 16 ? 8 : 16;
  return words + (bank + 32 - words % 32) % 32;
}

inline size_t tile_shared_bytes(const March &m) {
  const size_t weights = 9 * warp_size * 2 * tile_chunks(m.inputs), planes = 2 * 3 * tile_plane(m.tiling);
  // Beside them a word of zero, and the sums of every thread.
  return 4 * (weights + planes + 4 + 4 * tile_block(m.tiling));
}

/** Channel within its five, and kx, of a slot of the depth; channel 5 where it is none. */
struct Slot {
  int channel, kx;
};
__device__ __forceinline__ Slot slot_of(int k) {
  const int pair = k / 2, second = k % 2;
  if (pair < 4) return {pair / 2 * 2 + second, pair % 2};
  if (pair < 6) return {(pair - 4) * 2 + second, 2};
  if (pair == 6) return {4, 2 * second};
  return {second ? 5 : 4, 1};
}

struct TileMarcher {
  const March &m;
  const Place &place;
  const uint32_t first_output, quads, plane, chunks;
  uint32_t *const weights, *const planes, *const zero;
  /** [2 kinds x 2 outputs][threads] */
  float *const measured;
  /** x and line of the tile's first voxel within the block; row and pair of the lane. */
  int column, first_line, row, pair;
  Fetch place_of_fetch;
  Quad<Bfloat16> fetched[tile_inputs];
  uint32_t taps[9][2];
  /** [kz that is still to come][line][fragment] */
  float sums[3][march_lines][4];

  __device__ __forceinline__ TileMarcher(const March &march, const Place &at, uint32_t group)
      : m(march),
        place(at),
        first_output(group * tile_columns),
        quads(march_plane(march.tiling) / 4),
        plane(tile_plane(march.tiling)),
        chunks(tile_chunks(march.inputs)),
        weights(reinterpret_cast<uint32_t *>(shared_memory())),
        planes(weights + 9 * warp_size * 2 * chunks),
        zero(planes + 2 * 3 * plane),
        measured(reinterpret_cast<float *>(zero + 4)) {
    const int warp = static_cast<int>(threadIdx.x) / warp_size, lane = static_cast<int>(threadIdx.x) % warp_size;
    const int tiles = static_cast<int>(m.tiling.columns) / tile_rows;
    column = warp % tiles * tile_rows;
    first_line = warp / tiles * march_lines;
    row = lane / 4;
    pair = lane % 4;
    place_of_fetch = threadIdx.x < quads ? fetch_of(m.tiling, place, threadIdx.x) : Fetch{0, -1};
    if (threadIdx.x == 0) *zero = 0;
#pragma unroll
    for (int s = 0; s < 3; s++) clear(s);
    for (int i = 0; i < 4; i++) measured[i * blockDim.x + threadIdx.x] = 0;
  }

  __device__ __forceinline__ void clear(int s) {
#pragma unroll
    for (int line = 0; line < march_lines; line++) {
#pragma unroll
      for (int i = 0; i < 4; i++) sums[s][line][i] = 0;
    }
  }

  template <bool mirrored>
  __device__ __forceinline__ float weight(uint32_t chunk, int tap_zy, int k, uint32_t output) const {
    const Slot slot = slot_of(k);
    const uint32_t input = chunk * tile_inputs + slot.channel, tap = tap_zy * 3 + slot.kx;
    if (slot.channel >= tile_inputs || input >= m.inputs || output >= m.outputs) return 0;
    return mirrored ? m.weights[(input * m.outputs + output) * 27 + 26 - tap] : m.weights[(output * m.inputs + input) * 27 + tap];
  }

  /** (chunks, (kz, ky), lane, 2): each lane's part of a tile of weights. */
  template <bool mirrored>
  __device__ __forceinline__ void load_weights() {
    for (uint32_t i = threadIdx.x; i < 9 * warp_size * 2 * chunks; i += blockDim.x) {
      const int half = static_cast<int>(i % 2), lane = static_cast<int>(i / 2 % warp_size);
      const int tap = static_cast<int>(i / 2 / warp_size % 9);
      const uint32_t chunk = i / 2 / warp_size / 9;
      const int k = lane % 4 * 2 + half * 8;
      const uint32_t output = first_output + lane / 4;
      weights[i] = narrow_pair(weight<mirrored>(chunk, tap, k, output), weight<mirrored>(chunk, tap, k + 1, output));
    }
  }

  __device__ __forceinline__ const Bfloat16 *source(int link, uint32_t input) const {
    const size_t z = place.z_residue + link * static_cast<int>(m.tiling.dilation);
    const size_t channel = static_cast<size_t>(place.volume) * m.inputs + input;
    return static_cast<const Bfloat16 *>(m.from.z) + channel * m.tiling.channel + z * m.tiling.height * m.tiling.pitch;
  }

  __device__ __forceinline__ void load(int link, uint32_t chunk, const Fetch &at, Quad<Bfloat16> (&to)[tile_inputs]) const {
    if (at.valid <= 0) return;
    const Bfloat16 *from = source(link, chunk * tile_inputs) + at.offset;
#pragma unroll
    for (int c = 0; c < tile_inputs; c++) {
      if (chunk * tile_inputs + c < m.inputs) to[c] = load_quad(from + c * static_cast<size_t>(m.tiling.channel));
    }
  }

  __device__ __forceinline__ void fetch(int link, uint32_t chunk) { load(link, chunk, place_of_fetch, fetched); }

  __device__ __forceinline__ void put(uint32_t *to, uint32_t index, uint32_t chunk, const Fetch &at, const Quad<Bfloat16> (&raw)[tile_inputs]) const {
#pragma unroll
    for (int first = 0; first < tile_inputs; first += 2) {
      float low[4] = {0, 0, 0, 0}, high[4] = {0, 0, 0, 0};
      activated(chunk, first, at, raw, low);
      if (first + 1 < tile_inputs) activated(chunk, first + 1, at, raw, high);
      reinterpret_cast<uint4 *>(to + first / 2 * plane)[index] = {narrow_pair(low[0], high[0]), narrow_pair(low[1], high[1]),
                                                                 narrow_pair(low[2], high[2]), narrow_pair(low[3], high[3])};
    }
  }

  __device__ __forceinline__ void activated(uint32_t chunk, int c, const Fetch &at, const Quad<Bfloat16> (&raw)[tile_inputs], float (&values)[4]) const {
    const uint32_t input = chunk * tile_inputs + c;
    if (at.valid <= 0 || input >= m.inputs) return;
    raw[c].widen_to(values);
    activate_quad(m.from.activation, scaling_of(m.from.coefficients ? m.from.coefficients + (place.volume * m.inputs + input) : nullptr), at.valid, values);
  }

  /** What was fetched, and the rest of the plane, into shared memory. */
  __device__ __forceinline__ void store(int link, uint32_t chunk, int buffer) {
    uint32_t *to = planes + buffer * 3 * plane;
    if (place_of_fetch.valid >= 0) put(to, threadIdx.x, chunk, place_of_fetch, fetched);
    for (uint32_t index = threadIdx.x + blockDim.x; index < quads; index += blockDim.x) {
      const Fetch late = fetch_of(m.tiling, place, index);
      Quad<Bfloat16> raw[tile_inputs] = {};
      load(link, chunk, late, raw);
      put(to, index, chunk, late, raw);
    }
  }

  __device__ __forceinline__ void load_taps(uint32_t chunk) {
    const uint2 *from = reinterpret_cast<const uint2 *>(weights) + chunk * 9 * warp_size + threadIdx.x % warp_size;
#pragma unroll
    for (int tap = 0; tap < 9; tap++) {
      const uint2 both = from[tap * warp_size];
      taps[tap][0] = both.x;
      taps[tap][1] = both.y;
    }
  }

  __device__ __forceinline__ void add(int buffer) {
    const int pitch = static_cast<int>(m.tiling.columns + 2 * m.tiling.padding), dilation = static_cast<int>(m.tiling.dilation);
    const uint32_t *const start = planes + buffer * 3 * plane + first_line * pitch + m.tiling.padding + column + row;
    const uint32_t *const first = start + pair / 2 * plane + (pair % 2 - 1) * dilation;
    const uint32_t *const second = start + (pair < 2 ? pair * plane + dilation : 2 * plane - (pair == 2 ? dilation : 0));
    // Only channel 4 at kx 0 has its partner in another word.
    const bool split = pair == 2;
    const uint32_t *const third = split ? start + 2 * plane + dilation : zero;
    const int third_pitch = split ? pitch : 0, third_lower = split ? 8 : 0;
#pragma unroll
    for (int i = 0; i < march_lines + 2; i++) {
      const uint32_t tile[4] = {first[i * pitch], first[i * pitch + 8], second[i * pitch] | third[i * third_pitch] << 16,
                                second[i * pitch + 8] | third[i * third_pitch + third_lower] << 16};
#pragma unroll
      for (int ky = 0; ky < 3; ky++) {
        const int line = i - ky;
        if (line < 0 || line >= march_lines) continue;
#pragma unroll
        for (int kz = 0; kz < 3; kz++) tile_mma(sums[2 - kz][line], tile, taps[kz * 3 + ky]);
      }
    }
  }

  __device__ __forceinline__ void advance() {
#pragma unroll
    for (int line = 0; line < march_lines; line++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        sums[0][line][i] = sums[1][line][i];
        sums[1][line][i] = sums[2][line][i];
      }
    }
    clear(2);
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
    load_taps(0);
    for (int link = begin; link <= last; link++) {
      for (uint32_t chunk = 0; chunk < chunks; chunk++) {
        const bool wraps = chunk + 1 == chunks;
        const int next_link = wraps ? link + 1 : link;
        const uint32_t next_chunk = wraps ? 0 : chunk + 1;
        if (next_link <= last) fetch(next_link, next_chunk);
        add(buffer);
        if (chunks > 1) load_taps(next_chunk);
        if (next_link <= last) store(next_link, next_chunk, buffer ^ 1);
        buffer ^= 1;
        __syncthreads();
      }
      if (link > place.z_first) finish(link - 1, sums[0]);
      advance();
    }
    // The plane beyond the end of a chain is zero.
    if (place.z_end == place.z_count) finish(place.z_count - 1, sums[0]);
  }

  /** Calls each(which of the lane's two outputs, offset in a plane, whether it lies in the grid, sum) for this lane's part of 4 lines. */
  template <class Each>
  __device__ __forceinline__ void for_each(const float (&of)[march_lines][4], Each &&each) const {
    const Tiling &t = m.tiling;
#pragma unroll
    for (int line = 0; line < march_lines; line++) {
      const int k = place.y_first + first_line + line;
      if (k >= place.y_count) break;
      const uint32_t y = place.y_residue + k * t.dilation;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const uint32_t x = place.x_first + column + row + i / 2 * 8;
        if (first_output + 2 * pair + i % 2 < m.outputs && x < t.pitch) each(i % 2, y * t.pitch + x, x < t.width, of[line][i]);
      }
    }
  }

  /** Elements before the lane's first output in a plane of a tensor of outputs. */
  __device__ __forceinline__ size_t output_at(int link) const {
    const size_t channel = static_cast<size_t>(place.volume) * m.outputs + first_output + 2 * pair;
    const size_t z = place.z_residue + link * static_cast<int>(m.tiling.dilation);
    return channel * m.tiling.channel + z * m.tiling.height * m.tiling.pitch;
  }

  __device__ __forceinline__ void measure(int output, float first, float second) {
    measured[output * blockDim.x + threadIdx.x] += first;
    measured[(2 + output) * blockDim.x + threadIdx.x] += second;
  }

  /** partials (items, 2, outputs): those of the block's item and outputs. Every thread must call it. */
  __device__ __forceinline__ void write_measured(double *partials) const {
    __syncthreads();
    const uint32_t warp = threadIdx.x / warp_size, lane = threadIdx.x % warp_size, warps = blockDim.x / warp_size;
    for (uint32_t i = warp; i < 2 * tile_columns; i += warps) {
      const uint32_t kind = i / tile_columns, column_of = i % tile_columns, output = first_output + column_of;
      const float *own = measured + (kind * 2 + column_of % 2) * blockDim.x + column_of / 2;
      double sum = 0;
      for (uint32_t thread = 4 * lane; thread < blockDim.x; thread += 4 * warp_size) sum += own[thread];
      sum = warp_sum(sum);
      if (lane == 0 && output < m.outputs) partials[(static_cast<size_t>(blockIdx.x) * 2 + kind) * m.outputs + output] = sum;
    }
  }
};

/** Whether a convolution runs on tensor cores. */
inline bool on_tiles(const Device &device, Precision precision) { return precision == Precision::bf16 && device.capability >= 80; }

/** How a convolution's blocks are shaped, and so its items. */
inline Tiling convolution_tiling(const Device &device, const Convolution &shape) {
  return on_tiles(device, shape.precision) ? tile_tiling(shape.grid, shape.dilation) : march_tiling(shape.grid, shape.dilation);
}

}  // namespace mfl::cuda
