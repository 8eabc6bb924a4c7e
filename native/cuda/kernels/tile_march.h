/* The 3x3x3 convolution on tensor cores, in bf16 with float sums, for any number of inputs.
 *
 * As march.h walks, but a warp takes 16 voxels of a line x 4 lines. The three kx of five input channels are fifteen of the sixteen
 * products that one tile multiplies deep, so that a tile of inputs, made once, serves all nine (kz, ky): 36 products of tiles
 * for six tiles of inputs. 75 of its 128 products are useful.
 *
 * In shared memory a plane of five channels is three planes of words: channels 0 and 1, channels 2 and 3, channel 4 and zero. Slots of the
 * depth, in pairs: (0 1) kx 0, (0 1) kx 1, (2 3) kx 0, (2 3) kx 1, (0 1) kx 2, (2 3) kx 2, (4) kx 0 and 2, (4) kx 1 and none.
 *
 * Row r of a tile is voxel r / 2 * 4 + r % 2 of the sixteen for r < 8, and row r + 8 the second voxel after it: so that, transposed, a lane
 * has four neighbours of one channel, which is how tensors lie in memory. */
#pragma once

#include "march.h"
#include "tile_mma.h"

namespace mfl::cuda {

/** Input channels of a tile. */
constexpr int tile_inputs = 5;
/** Words from one line to the next, of 64 columns at dilations up to 16, and of 32 at any. */
constexpr int tile_pitch = 96, tile_narrow_pitch = 160;
/** Words of a plane of two channels: (8 + 2) lines, or (4 + 2) of the longer ones, and some between, so that the lanes that read two planes
 * at once mostly read different banks. */
constexpr int tile_plane = 960 + 16;

inline __host__ __device__ uint32_t tile_chunks(uint32_t inputs) { return divide_up(inputs, tile_inputs); }

inline bool is_narrow_tile(uint32_t dilation) { return dilation > march_wide_dilation; }

/** Blocks of columns x rows, a warp to 16 x 4. */
inline Tiling tile_tiling(const Grid &grid, uint32_t dilation) {
  if (is_narrow_tile(dilation)) return tiling_of(grid, dilation, march_narrow_columns, march_lines);
  const uint32_t lines = divide_up(grid.height, dilation);
  return tiling_of(grid, dilation, grid.width > 32 ? 64 : 32, lines > march_lines ? 2 * march_lines : march_lines);
}

inline __host__ __device__ uint32_t tile_block(const Tiling &t) { return t.columns / tile_rows * (t.rows / march_lines) * warp_size; }

inline size_t tile_shared_bytes(const March &m) {
  const size_t weights = 9 * warp_size * 2 * tile_chunks(m.inputs), planes = 2 * 3 * tile_plane;
  // Beside them the sums of every thread.
  return sizeof(Scaling) * m.inputs + 4 * (weights + planes + 4 * tile_block(m.tiling));
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

/** exact: five channels on either side, all tiles of the grid whole, and a thread for every quad (is_whole_tiles). */
template <int Pitch, Compiled known, bool exact>
struct TileMarcher {
  const March &m;
  const Place &place;
  const uint32_t first_output, quads, chunks;
  const Scaling *const scalings;
  uint32_t *const weights, *const planes;
  /** [2 kinds x 2 outputs][threads] */
  float *const measured;
  /** x and line of the tile's first voxel within the block; row and pair of the lane. */
  int column, first_line, row, pair;
  /** Lines of the grid from the tile's first on, more than the tile's perhaps, or fewer than none. */
  int lines;
  /** Whether this lane has four voxels of an output to read or write, and whether all of the tile lies in the grid. */
  bool keeps, whole;
  /** Elements from the beginning of a channel's plane to the lane's four voxels in the first line, and from one line to the next. */
  uint32_t own, line_step;
  Fetch place_of_fetch;
  Quad<Bfloat16> fetched[tile_inputs];
  uint32_t taps[9][2];
  /** [kz that is still to come][line][fragment] */
  float sums[3][march_lines][4];

  __device__ __forceinline__ TileMarcher(const March &march, const Place &at, uint32_t group)
      : m(march),
        place(at),
        first_output(group * tile_columns),
        quads(march_quads(march.tiling)),
        chunks(exact ? 1 : tile_chunks(march.inputs)),
        scalings(reinterpret_cast<const Scaling *>(shared_memory())),
        weights(reinterpret_cast<uint32_t *>(const_cast<Scaling *>(scalings) + march.inputs)),
        planes(weights + 9 * warp_size * 2 * chunks),
        measured(reinterpret_cast<float *>(planes + 2 * 3 * tile_plane)) {
    const Tiling &t = m.tiling;
    const int warp = static_cast<int>(threadIdx.x) / warp_size, lane = static_cast<int>(threadIdx.x) % warp_size;
    const int tiles = static_cast<int>(t.columns) / tile_rows;
    column = warp % tiles * tile_rows;
    first_line = warp / tiles * march_lines;
    row = lane / 4;
    pair = lane % 4;
    const int x = place.x_first + column, k = place.y_first + first_line, left = place.y_count - k;
    lines = left;
    keeps = exact ? row < tile_inputs : first_output + row < m.outputs && x + 4 * pair < static_cast<int>(t.pitch);
    whole = exact || (left >= march_lines && x + tile_rows <= static_cast<int>(t.width));
    own = (place.y_residue + k * t.dilation) * t.pitch + x + 4 * pair;
    line_step = t.dilation * t.pitch;
    place_of_fetch = threadIdx.x < quads ? fetch_of(t, place, threadIdx.x, Pitch) : Fetch{0, 0, 0};
#pragma unroll
    for (int s = 0; s < 3; s++) clear(s);
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

  /** Fills what lies in shared memory; walk() begins with a barrier. Weights are (chunks, (kz, ky), lane, 2): each lane's part of a tile.
   * mirrored: as in march.h. */
  template <bool mirrored>
  __device__ __forceinline__ void begin() {
    for (uint32_t i = threadIdx.x; i < m.inputs; i += blockDim.x) {
      const_cast<Scaling *>(scalings)[i] = scaling_of(m.from.coefficients ? m.from.coefficients + place.volume * m.inputs + i : nullptr);
    }
    for (uint32_t i = threadIdx.x; i < 2 * 3 * tile_plane / 4; i += blockDim.x) reinterpret_cast<uint4 *>(planes)[i] = {0, 0, 0, 0};
    for (uint32_t i = threadIdx.x; i < 9 * warp_size * 2 * chunks; i += blockDim.x) {
      const int half = static_cast<int>(i % 2), lane = static_cast<int>(i / 2 % warp_size);
      const int tap = static_cast<int>(i / 2 / warp_size % 9);
      const uint32_t chunk = i / 2 / warp_size / 9;
      const int k = lane % 4 * 2 + half * 8;
      const uint32_t output = first_output + lane / 4;
      weights[i] = narrow_pair(weight<mirrored>(chunk, tap, k, output), weight<mirrored>(chunk, tap, k + 1, output));
    }
  }

  /** Whether there is channel c of a chunk. */
  __device__ __forceinline__ bool has_input(uint32_t chunk, int c) const {
    return c < tile_inputs && (exact || chunk * tile_inputs + c < m.inputs);
  }
  /** Whether a line of the tile lies in the grid. */
  __device__ __forceinline__ bool has_line(int line) const { return exact || line < lines; }

  /** `plane`: where it begins in a channel. */
  __device__ __forceinline__ void load(size_t plane, uint32_t chunk, const Fetch &at, Quad<Bfloat16> (&to)[tile_inputs]) const {
    if (at.valid == 0) return;
    const size_t channel = static_cast<size_t>(place.volume) * m.inputs + chunk * tile_inputs;
    const Bfloat16 *from = static_cast<const Bfloat16 *>(m.from.z) + channel * m.tiling.channel + plane + at.from;
#pragma unroll
    for (int c = 0; c < tile_inputs; c++, from += m.tiling.channel) {
      if (has_input(chunk, c)) to[c] = load_quad(from);
    }
  }

  __device__ __forceinline__ void fetch(size_t plane, uint32_t chunk) { load(plane, chunk, place_of_fetch, fetched); }

  /** Four voxels of a channel as they are multiplied. */
  __device__ __forceinline__ void activated(uint32_t chunk, int c, uint32_t valid, const Quad<Bfloat16> (&raw)[tile_inputs],
                                            float (&values)[4]) const {
    if (!has_input(chunk, c)) {
#pragma unroll
      for (int i = 0; i < 4; i++) values[i] = 0;
      return;
    }
    raw[c < tile_inputs ? c : 0].widen_to(values);
    activate_quad(activation_of<known>(m.from.activation), scalings[chunk * tile_inputs + c], static_cast<int>(valid), values);
  }

  __device__ __forceinline__ void put(uint32_t *to, uint32_t chunk, const Fetch &at, const Quad<Bfloat16> (&raw)[tile_inputs]) const {
    if (at.valid == 0) return;
#pragma unroll
    for (int first = 0; first < tile_inputs; first += 2) {
      float low[4], high[4];
      activated(chunk, first, at.valid, raw, low);
      activated(chunk, first + 1, at.valid, raw, high);
      *reinterpret_cast<uint4 *>(to + first / 2 * tile_plane + at.to) = {narrow_pair(low[0], high[0]), narrow_pair(low[1], high[1]),
                                                                       narrow_pair(low[2], high[2]), narrow_pair(low[3], high[3])};
    }
  }

  /** What was fetched, and the rest of the plane, into shared memory. */
  __device__ __forceinline__ void store(size_t plane, uint32_t chunk, int buffer) {
    uint32_t *const to = planes + buffer * 3 * tile_plane;
    put(to, chunk, place_of_fetch, fetched);
#pragma unroll 1
    for (uint32_t index = threadIdx.x + blockDim.x; !exact && index < quads; index += blockDim.x) {
      const Fetch other = fetch_of(m.tiling, place, index, Pitch);
      Quad<Bfloat16> raw[tile_inputs] = {};
      load(plane, chunk, other, raw);
      put(to, chunk, other, raw);
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
    const int dilation = static_cast<int>(m.tiling.dilation);
    const int voxel = row / 2 * 4 + row % 2;
    const uint32_t *const start = planes + buffer * 3 * tile_plane + first_line * Pitch + static_cast<int>(m.tiling.padding) + column + voxel;
    const uint32_t *const first = start + pair / 2 * tile_plane + (pair % 2 - 1) * dilation;
    const uint32_t *const second = start + (pair < 2 ? pair * tile_plane + dilation : 2 * tile_plane - (pair == 2 ? dilation : 0));
    // Only channel 4 at kx 0 has its partner in another word: the others take theirs whole.
    const bool split = pair == 2;
    const uint32_t *const third = split ? second + 2 * dilation : second;
    const uint32_t selector = split ? 0x5410 : 0x3210;
#pragma unroll
    for (int i = 0; i < march_lines + 2; i++) {
      const int at = i * Pitch;
      const uint32_t tile[4] = {first[at], first[at + 2], permute_bytes(second[at], third[at], selector),
                                permute_bytes(second[at + 2], third[at + 2], selector)};
#pragma unroll
      for (int ky = 0; ky < 3; ky++) {
        const int line = i - ky;
        if (line < 0 || line >= march_lines) continue;
#pragma unroll
        for (int kz = 0; kz < 3; kz++) tile_mma(sums[2 - kz][line], tile, taps[kz * 3 + ky]);
      }
    }
  }

  /** Sums of voxels that lie in no grid become zero. */
  __device__ __forceinline__ void clip() {
    if (whole) return;
    const int x = place.x_first + column + row / 2 * 4 + row % 2, width = static_cast<int>(m.tiling.width);
#pragma unroll
    for (int line = 0; line < march_lines; line++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        if (line >= lines || x + i / 2 * 2 >= width) sums[0][line][i] = 0;
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

  /** For every plane of the item calls prepare(where it begins in a channel), and once its sums are in sums[0], finish(the same). All lanes of a
   * warp call them alike. */
  template <class Prepare, class Finish>
  __device__ __forceinline__ void walk(Prepare &&prepare, Finish &&finish) {
    if (place.z_first >= place.z_end || place.y_first >= place.y_count) return;
    const int begin = place.z_first > 0 ? place.z_first - 1 : 0;
    const int last = place.z_end < place.z_count ? place.z_end : place.z_count - 1;
    const size_t step = static_cast<size_t>(m.tiling.dilation) * m.tiling.height * m.tiling.pitch;
    size_t at = plane_at(m.tiling, place, begin);
    int buffer = 0;
    fetch(at, 0);
    __syncthreads();
    store(at, 0, 0);
    __syncthreads();
    load_taps(0);
    for (int link = begin; link <= last; link++, at += step) {
      for (uint32_t chunk = 0; chunk < chunks; chunk++) {
        const bool wraps = chunk + 1 == chunks, more = !wraps || link < last;
        const uint32_t next_chunk = wraps ? 0 : chunk + 1;
        const size_t next = wraps ? at + step : at;
        if (more) fetch(next, next_chunk);
        if (wraps && link > place.z_first) prepare(at - step);
        add(buffer);
        if (chunks > 1) load_taps(next_chunk);
        if (more) store(next, next_chunk, buffer ^ 1);
        buffer ^= 1;
        __syncthreads();
      }
      if (link > place.z_first) {
        clip();
        finish(at - step);
      }
      advance();
    }
    // The plane beyond the end of a chain is zero.
    if (place.z_end == place.z_count) {
      prepare(at - step);
      clip();
      finish(at - step);
    }
  }

  /** Elements before the lane's four voxels in a plane of a tensor of outputs, in the tile's first line. */
  __device__ __forceinline__ size_t output_at(size_t plane) const {
    const size_t channel = static_cast<size_t>(place.volume) * m.outputs + first_output + row;
    return channel * m.tiling.channel + plane + own;
  }

  /** Four voxels of a line of an output, from words as fragments have them: of the two outputs of a lane, one voxel each. All lanes must
   * call it. */
  __device__ __forceinline__ void store_line(Bfloat16 *to, int line, uint32_t upper, uint32_t lower) const {
    const uint2 four = {transposed(upper), transposed(lower)};
    if (keeps && has_line(line)) *reinterpret_cast<uint2 *>(to + line * line_step) = four;
  }

  /** partials (items, 2, outputs): the sums over threads of two values for each of a lane's two outputs. Every thread must call it. */
  __device__ __forceinline__ void write_measured(const float (&first)[2], const float (&second)[2], double *partials) const {
#pragma unroll
    for (int output = 0; output < 2; output++) {
      measured[output * blockDim.x + threadIdx.x] = first[output];
      measured[(2 + output) * blockDim.x + threadIdx.x] = second[output];
    }
    __syncthreads();
    const uint32_t warp = threadIdx.x / warp_size, lane = threadIdx.x % warp_size, warps = blockDim.x / warp_size;
    for (uint32_t i = warp; i < 2 * tile_columns; i += warps) {
      const uint32_t kind = i / tile_columns, column_of = i % tile_columns, output = first_output + column_of;
      const float *from = measured + (kind * 2 + column_of % 2) * blockDim.x + column_of / 2;
      double sum = 0;
      for (uint32_t thread = 4 * lane; thread < blockDim.x; thread += 4 * warp_size) sum += from[thread];
      sum = warp_sum(sum);
      if (lane == 0 && output < m.outputs) partials[(static_cast<size_t>(blockIdx.x) * 2 + kind) * m.outputs + output] = sum;
    }
  }
};

template <Compiled known>
using WholeTiles = TileMarcher<tile_pitch, known, true>;
template <Compiled known>
using WideTiles = TileMarcher<tile_pitch, known, false>;
template <Compiled known>
using NarrowTiles = TileMarcher<tile_narrow_pitch, known, false>;

inline bool is_whole_tiles(const March &m) {
  return m.inputs == tile_inputs && m.outputs == tile_inputs && is_whole(m.tiling) && march_quads(m.tiling) <= tile_block(m.tiling);
}

/** Whether bf16 runs on tensor cores. */
inline bool on_tiles(const Device &device, Precision precision) { return precision == Precision::bf16 && device.capability >= 80; }

/** Whether a convolution does: of one input, a tile would multiply three of sixteen. */
inline bool convolves_on_tiles(const Device &device, const Convolution &shape) { return on_tiles(device, shape.precision) && shape.inputs > 1; }

/** How a convolution's blocks are shaped, and so its items. */
inline Tiling convolution_tiling(const Device &device, const Convolution &shape) {
  return convolves_on_tiles(device, shape) ? tile_tiling(shape.grid, shape.dilation) : march_tiling(device, shape);
}

}  // namespace mfl::cuda
