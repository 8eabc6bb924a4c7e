/* The 3x3x3 convolution on FMA, for any number of inputs: what the forward pass and the gradient by the data share.
 *
 * A block walks along a chain of planes (see tiling.h). Every plane it reads goes once, a few channels at a time, through shared
 * memory, already activated, and is added to the three output planes that it belongs to: a thread holds G channels x 4 lines x 3
 * planes of sums in registers, so that six values loaded from shared memory serve 180 multiply-adds when G is 5. While one plane
 * is added, the next is on its way from memory; a thread activates in place what it copied itself, so that a plane takes one
 * barrier. What lies outside the grid is zero in shared memory from the beginning and never written. */
#pragma once

#include "activation.h"
#include "async_copy.h"
#include "output_sums.h"
#include "storage.h"
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

/** exact_inputs: 0, or how many inputs there are, where there are G outputs, all inputs fit at a time, and all tiles of the grid are whole. */
template <class T, int G, Compiled known, int exact_inputs>
struct Marcher {
  static constexpr int stride = weight_stride<G>;
  static constexpr bool whole = exact_inputs > 0;
  /** Whether a thread takes its quads of all channels, some at a time: it pays where it has to activate them. */
  static constexpr bool batched = whole && known != Compiled::identity;

  const March &m;
  /** In shared memory: registers are scarce. */
  const Place &place;
  const uint32_t first_output, plane, quads;
  const Scaling *const scalings;
  float *const weights;
  const Fetch *const fetches;
  float *const planes;
  /** [G][lines][threads]: a thread's own, for what a kernel reads where it writes. */
  float *const outputs;
  OutputSums<G> measured;
  /** Of the thread's first output within the block. */
  int column, first_line;
  /** Lines of the grid, or of what a row has beyond it, from the thread's first on: more than the thread's perhaps, or fewer than none. */
  int lines;
  /** Elements from the beginning of a channel's plane to the thread's first line, and from one to the next. */
  uint32_t own, line_step;
  /** [kz that is still to come][line][output]. */
  float sums[3][march_lines][G];

  /** with_outputs: whether the kernel uses `outputs`. */
  __device__ __forceinline__ Marcher(const March &march, const Place &at, uint32_t group, bool with_outputs)
      : m(march),
        place(at),
        first_output(group * G),
        plane(march_plane(march.tiling)),
        quads(march_quads(march.tiling)),
        scalings(reinterpret_cast<const Scaling *>(shared_memory())),
        weights(reinterpret_cast<float *>(const_cast<Scaling *>(scalings) + m.inputs)),
        fetches(reinterpret_cast<const Fetch *>(weights + 9 * stride * m.inputs)),
        planes(reinterpret_cast<float *>(const_cast<Fetch *>(fetches) + (table_quads() + 1) / 2 * 2)),
        outputs(planes + 2 * m.chunk * plane),
        measured(outputs + (with_outputs ? G * march_lines * blockDim.x : 0)) {
    const Tiling &t = m.tiling;
    column = static_cast<int>(threadIdx.x % t.columns);
    first_line = static_cast<int>(threadIdx.x / t.columns) * march_lines;
    const int x = place.x_first + column, k = place.y_first + first_line, left = place.y_count - k;
    lines = whole ? march_lines : x < static_cast<int>(t.pitch) ? left : 0;
    own = (place.y_residue + k * t.dilation) * t.pitch + x;
    line_step = t.dilation * t.pitch;
    clear<0>();
    clear<1>();
    clear<2>();
  }

  /** Fills what lies in shared memory; walk() begins with a barrier. mirrored: as in load_weights. */
  template <bool mirrored>
  __device__ __forceinline__ void begin() {
    Scaling *const scale = const_cast<Scaling *>(scalings);
    for (uint32_t i = threadIdx.x; i < m.inputs; i += blockDim.x) {
      scale[i] = scaling_of(m.from.coefficients ? m.from.coefficients + place.volume * m.inputs + i : nullptr);
    }
    Fetch *const table = const_cast<Fetch *>(fetches);
    for (uint32_t i = threadIdx.x; i < table_quads(); i += blockDim.x) {
      if (!batched) {
        table[i] = fetch_of(m.tiling, place, i, march_pitch);
        continue;
      }
      const uint32_t channel = i / quads;
      const Fetch fetch = fetch_of(m.tiling, place, i % quads, march_pitch);
      ChannelFetch of = {fetch.from, fetch.to, static_cast<uint8_t>(fetch.valid), 0};
      of.from += channel * m.tiling.channel;
      of.to = static_cast<uint16_t>(of.to + channel * plane);
      of.channel = static_cast<uint8_t>(channel);
      if (static_cast<int>(channel) >= exact_inputs) of = {0, 0, 0, 0};
      reinterpret_cast<ChannelFetch *>(table)[i] = of;
    }
    for (uint32_t i = threadIdx.x; i < 2 * m.chunk * plane / 4; i += blockDim.x) reinterpret_cast<float4 *>(planes)[i] = {0, 0, 0, 0};
    load_weights<mirrored>();
  }

  /** Entries of the table: of all channels' quads, or of one's. */
  __device__ __forceinline__ uint32_t table_quads() const { return batched ? march_table(m.tiling, exact_inputs) : quads; }

  /** Whether the thread's column lies in the grid. */
  __device__ __forceinline__ bool inside() const { return whole || place.x_first + column < static_cast<int>(m.tiling.width); }

  /** Whether there is output g of the block's. */
  __device__ __forceinline__ bool has_output(int g) const { return whole || first_output + g < m.outputs; }

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

  /** Calls each(channel of the chunk, where its plane begins in shared memory, quad) for the quads that this thread copies. */
  template <class Each>
  __device__ __forceinline__ void for_own_quads(uint32_t count, int buffer, Each &&each) const {
    uint32_t index = threadIdx.x, channel = 0;
    float *to = planes + buffer * chunk() * plane;
    while (true) {
      // A channel has more quads than a block has threads.
      if (index >= quads) {
        index -= quads;
        channel++;
        to += plane;
      }
      if (channel >= count) return;
      const Fetch fetch = fetches[index];
      if (fetch.valid > 0) each(channel, to + fetch.to, fetch);
      index += blockDim.x;
    }
  }

  /** Calls each(batch of quads) for those that this thread copies of all channels; of those that are none, valid is zero. */
  template <class Each>
  __device__ __forceinline__ void for_own_batches(Each &&each) const {
#pragma unroll 1
    for (uint32_t first = threadIdx.x; first < table_quads(); first += march_batch * blockDim.x) {
      ChannelFetch batch[march_batch];
#pragma unroll
      for (uint32_t i = 0; i < march_batch; i++) batch[i] = load_fetch(reinterpret_cast<const ChannelFetch *>(fetches) + first + i * blockDim.x);
      each(batch);
    }
  }

  __device__ __forceinline__ uint32_t inputs() const { return whole ? exact_inputs : m.inputs; }
  __device__ __forceinline__ uint32_t chunk() const { return whole ? exact_inputs : m.chunk; }

  __device__ __forceinline__ uint32_t channels_of(uint32_t first_input) const {
    if (whole) return exact_inputs;
    const uint32_t left = m.inputs - first_input;
    return left < m.chunk ? left : m.chunk;
  }

  /** Begins to copy channels of the plane that begins `at` elements after the beginning of a channel. */
  __device__ __forceinline__ void fetch(size_t at, uint32_t first_input, int buffer) const {
    const size_t channel = static_cast<size_t>(place.volume) * inputs() + first_input;
    const T *from = static_cast<const T *>(m.from.z) + channel * m.tiling.channel + at;
    if (batched) {
      float *const to = planes + buffer * exact_inputs * plane;
      for_own_batches([&](const ChannelFetch(&batch)[march_batch]) {
#pragma unroll
        for (const ChannelFetch &fetch : batch) {
          copy_async_if(fetch.valid > 0, reinterpret_cast<Quad<T> *>(to + fetch.to), reinterpret_cast<const Quad<T> *>(from + fetch.from));
        }
      });
      return;
    }
    for_own_quads(channels_of(first_input), buffer, [&](uint32_t c, float *to, const Fetch &fetch) {
      copy_async(reinterpret_cast<Quad<T> *>(to), reinterpret_cast<const Quad<T> *>(from + static_cast<size_t>(c) * m.tiling.channel + fetch.from));
    });
  }

  /** What this thread has copied becomes what is multiplied, in place. */
  __device__ __forceinline__ void activate_own(uint32_t first_input, int buffer) const {
    const Activation activation = activation_of<known>(m.from.activation);
    if (activation == Activation::identity && sizeof(T) == sizeof(float)) return;
    if (batched) {
      float *const to = planes + buffer * exact_inputs * plane;
      for_own_batches([&](const ChannelFetch(&batch)[march_batch]) {
        float values[march_batch][4];
#pragma unroll
        for (uint32_t i = 0; i < march_batch; i++) reinterpret_cast<const Quad<T> *>(to + batch[i].to)->widen_to(values[i]);
#pragma unroll
        for (uint32_t i = 0; i < march_batch; i++) {
          // A whole grid's lines are whole quads.
          activate_quad(activation, scalings[batch[i].channel], 4, values[i]);
          if (batch[i].valid > 0) *reinterpret_cast<float4 *>(to + batch[i].to) = {values[i][0], values[i][1], values[i][2], values[i][3]};
        }
      });
      return;
    }
    for_own_quads(channels_of(first_input), buffer, [&](uint32_t c, float *to, const Fetch &fetch) {
      float values[4];
      reinterpret_cast<const Quad<T> *>(to)->widen_to(values);
      activate_quad(activation, scalings[first_input + c], fetch.valid, values);
      *reinterpret_cast<float4 *>(to) = {values[0], values[1], values[2], values[3]};
    });
  }

  __device__ __forceinline__ void add(uint32_t input, const float *at) {
    const float *from = at + first_line * march_pitch + m.tiling.padding + column - m.tiling.dilation;
    const float *w = weights + input * 9 * stride;
#pragma unroll
    for (int kx = 0; kx < 3; kx++) {
      float values[march_lines + 2];
#pragma unroll
      for (int i = 0; i < march_lines + 2; i++) values[i] = from[i * march_pitch];
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

  /** For every plane of the item calls prepare(where it begins in a channel), then finish(the same, sums of 4 lines): what prepare began to
   * copy has arrived then. */
  template <class Prepare, class Finish>
  __device__ __forceinline__ void walk(Prepare &&prepare, Finish &&finish) {
    if (place.z_first >= place.z_end || place.y_first >= place.y_count) return;
    const int first = place.z_first > 0 ? place.z_first - 1 : 0;
    const int last = place.z_end < place.z_count ? place.z_end : place.z_count - 1;
    const size_t step = static_cast<size_t>(m.tiling.dilation) * m.tiling.height * m.tiling.pitch;
    size_t at = plane_at(m.tiling, place, first);
    int buffer = 0;
    __syncthreads();
    fetch(at, 0, 0);
    wait_for_copies();
    activate_own(0, 0);
    __syncthreads();
    for (int link = first; link <= last; link++, at += step) {
      for (uint32_t input = 0; input < inputs(); input += chunk()) {
        const bool wraps = whole || input + chunk() >= inputs(), more = !wraps || link < last;
        const uint32_t next_input = wraps ? 0 : input + chunk();
        if (more) fetch(wraps ? at + step : at, next_input, buffer ^ 1);
        if (wraps && link > place.z_first) prepare(at - step);
        const float *from = planes + buffer * chunk() * plane;
        for (uint32_t c = 0; c < channels_of(input); c++, from += plane) add(input + c, from);
        wait_for_copies();
        if (more) activate_own(next_input, buffer ^ 1);
        buffer ^= 1;
        __syncthreads();
      }
      if (link > place.z_first) finish(at - step, sums[0]);
      advance();
    }
    // The plane beyond the end of a chain is zero.
    if (place.z_end == place.z_count) {
      prepare(at - step);
      wait_for_copies();
      finish(at - step, sums[0]);
    }
  }
};

/** Whether every block's every voxel lies in the grid. */
inline bool is_whole(const Tiling &t) {
  // Kernels for these count the elements of all channels of a volume in 32 bits.
  return t.width % t.columns == 0 && t.height % (t.rows * t.dilation) == 0 && t.channel < (uint32_t{1} << 31) / march_inputs;
}

/** How the blocks of a march are shaped: as wide as they can be where two planes of one channel fit, with all that the largest kernel keeps. */
inline Tiling march_tiling(const Device &device, const Convolution &shape) {
  const Grid &grid = shape.grid;
  const uint32_t lines = divide_up(grid.height, shape.dilation);
  const uint32_t columns = grid.width > 64 ? march_columns : grid.width > 32 ? 64 : 32;
  const uint32_t inputs = shape.inputs > shape.outputs ? shape.inputs : shape.outputs;
  if (shape.dilation <= march_wide_dilation) {
    const Tiling wide = tiling_of(grid, shape.dilation, columns, lines > march_lines ? 2 * march_lines : march_lines);
    if (march_fixed_bytes<march_group>(wide, inputs, true) + march_planes_bytes(wide, 1) <= device.shared_bytes) return wide;
  }
  return tiling_of(grid, shape.dilation, march_narrow_columns, march_lines);
}

/** As many channels at a time as fit. */
template <int G>
uint32_t march_chunk(const Device &device, const Tiling &t, uint32_t inputs, bool with_outputs) {
  uint32_t chunk = inputs < march_inputs ? inputs : march_inputs;
  while (chunk > 1 && march_fixed_bytes<G>(t, inputs, with_outputs) + march_planes_bytes(t, chunk) > device.shared_bytes) chunk--;
  return chunk;
}

/** Channels of a block, where `outputs` are spread over as few blocks as can be. */
inline uint32_t march_channels(uint32_t outputs) { return divide_up(outputs, divide_up(outputs, march_group)); }

}  // namespace mfl::cuda
