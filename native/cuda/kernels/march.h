/* The 3x3x3 convolution on FMA, for any number of inputs: what the forward pass and the gradient by the data share.
 *
 * A block walks along a chain of planes (see tiling.h). Every plane it reads goes once, a few channels at a time, through shared
 * memory, already activated, and is added to the three output planes that it belongs to: a thread holds G channels x 4 lines x 3
 * planes of sums in registers, so that six values loaded from shared memory serve 180 multiply-adds when G is 5. While one plane
 * is added, the next is on its way from memory; a thread activates in place what it copied itself, so that a plane takes one
 * barrier. What lies outside the grid is zero in shared memory from the beginning and never written. */
#pragma once

#include "async_copy.h"
#include "march_layout.h"
#include "storage.h"

namespace mfl::cuda {

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
      // What fills the last batch up reads where the thread that reads it writes itself.
      if (static_cast<int>(channel) >= exact_inputs) of = {0, fetch_of(m.tiling, place, threadIdx.x, march_pitch).to, 0, 0};
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

}  // namespace mfl::cuda
